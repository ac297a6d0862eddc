"""``mmdit check-data`` of JSON lines, and ``mmdit refer2jsonl``."""

import json
from functools import partial

import pytest
from PIL import Image

from mmdit.datasets import RefCOCODataset, ReferJSONLDataset
from mmdit.datasets.transforms import LoadReferImage, LoadReferMask


@pytest.fixture
def check(mmdit):
    return partial(mmdit, 'check-data')


@pytest.fixture
def rows(tmp_path):
    """Rows of an image below ``images``."""
    (tmp_path / 'images').mkdir()
    Image.new('RGB', (60, 40)).save(tmp_path / 'images/a.png')
    mask = [[2, 2, 12, 2, 12, 12]]
    return [
        dict(image='a.png', expression=words, mask=mask)
        for words in ('left [red] box', 'the box')
    ]


def write(tmp_path, rows):
    path = tmp_path / 'train.jsonl'
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return path


def test_a_usable_file(check, tmp_path, rows):
    path = write(tmp_path, rows)
    args = (path, '--image-root', tmp_path / 'images', '--workers', 1)
    result = check(*args)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == str(path)
    assert lines[-1] == f'{path}: OK, 2 rows'
    assert '2 different; 2 to 3 words, median 2.5' in result.stdout


def test_a_warning_leaves_it_usable(check, tmp_path, rows):
    path = write(tmp_path, [*rows, rows[0]])
    result = check(path, '--image-root', tmp_path / 'images')
    assert result.returncode == 0
    assert 'line 3: "left [red] box" of a.png, as in line 1' in result.stdout
    assert result.stdout.endswith('OK, 3 rows; but repeated rows (1)\n')


def test_an_unusable_file_shows_the_first_cases(check, tmp_path, rows):
    path = write(tmp_path, [*rows, *rows, {}])
    result = check(path, '--examples', 1)
    assert result.returncode == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert f'line 1: {tmp_path / "a.png"}' in lines
    assert '... and 3 more (--examples N shows N)' in lines
    assert not any(line.startswith('line 2: ') for line in lines)
    assert lines[-1] == f'{path}: BROKEN: broken rows (1), missing images (4)'


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['none.jsonl'], 'none.jsonl does not exist'),
        ([__file__, '--image-root', 'none'], 'root none is not a folder'),
        ([__file__, '--workers', '0'], '--workers is 0, expected 1 or up'),
    ],
)
def test_wrong_arguments_are_named(check, args, message):
    result = check(*args)
    assert result.returncode == 2
    assert message in result.stderr and 'Traceback' not in result.stderr


def test_refcoco_becomes_json_lines(check, mmdit, tiny_refer, tmp_path):
    path = tmp_path / 'lists' / 'train.jsonl'
    written = mmdit('refer2jsonl', tiny_refer, path)
    assert written.stdout == f'7 rows: {path}\n', written.stderr
    assert check(path).returncode == 0
    original = RefCOCODataset(data_root=str(tiny_refer), sample_by='sentence')
    for old, new in zip(
        original, ReferJSONLDataset(ann_file=str(path)), strict=True
    ):
        assert new['expression'] == old['expression']
        assert new['ref_id'] == old['sent_id']
        masks = [
            LoadReferMask().transform(LoadReferImage().transform(item))
            for item in (old, new)
        ]
        assert (masks[0]['gt_seg_map'] == masks[1]['gt_seg_map']).all()
