"""The checks of a JSON-lines file."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmdit.datasets.checking import KINDS, check_jsonl

AREAS = [600, 200, 100, 50, 100]
TRIANGLE = [[2, 2, 12, 2, 12, 12]]


def row(**kwargs):
    """Return a good row with changes; None removes a key."""
    good = dict(image='images/a.jpg', expression='box', mask=TRIANGLE)
    merged = {**good, **kwargs}
    return {key: merged[key] for key in merged if merged[key] is not None}


def write(tiny_jsonl, *rows, name='new.jsonl'):
    """Write rows next to the tiny file; text is written as it is."""
    lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    path = tiny_jsonl.with_name(name)
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path


def messages(report, kind):
    """Return line and case of each finding of a kind."""
    assert kind in KINDS
    cases = [case.split(': ', 1) for case in report.problems.get(kind, [])]
    return [(int(where.removeprefix('line ')), text) for where, text in cases]


def test_a_good_file_is_usable(tiny_jsonl):
    report = check_jsonl(tiny_jsonl)
    assert report.status == 'usable' and report.problems == {}
    assert report.verdict == f'{tiny_jsonl}: OK, 6 rows'
    assert (report.rows, len(report.images)) == (6, 2)
    assert report.words == [1, 2, 2, 2, 2, 5]
    kinds = {'polygons': 2, 'RLE': 2, 'PNG': 1, 'no target': 1}
    assert report.masks == kinds
    sizes = [2400, 2400, 1500, 1500, 1500]
    shares = [a / s for a, s in zip(AREAS, sizes, strict=True)]
    assert report.areas == pytest.approx(sorted(shares))


@pytest.mark.parametrize('workers', [1, 2])
def test_all_problems_are_found_at_once(tiny_jsonl, workers):
    root = tiny_jsonl.parent
    content = (root / 'images/a.jpg').read_bytes()
    (root / 'images/cut.jpg').write_bytes(content[:500])
    path = write(
        tiny_jsonl,
        row(),
        '{',
        row(image='none.jpg'),
        row(image='none.jpg', expression='other'),
        row(image='images/cut.jpg'),
        row(expression='far', mask=[[90, 90, 99, 90, 99, 99]]),
    )
    report = check_jsonl(path, workers=workers)
    assert report.broken
    lines = {
        kind: [line for line, _ in messages(report, kind)]
        for kind in report.problems
        if KINDS[kind][0] == 'broken'
    }
    assert lines == {
        'broken rows': [2],
        'missing images': [3, 4],
        'unreadable images': [5],
        'empty masks': [6],
    }
    assert report.verdict == (
        f'{path}: BROKEN: broken rows (1), missing images (2), unreadable '
        'images (1), empty masks (1)'
    )


def warned(tiny_jsonl, *rows):
    report = check_jsonl(write(tiny_jsonl, *rows))
    assert report.status == 'usable with warnings'
    return report


def test_polygons_outside_of_the_image(tiny_jsonl):
    rounding = row(mask=[[-0.6, 2, 60.6, 2, 12, 12]])
    outside = row(expression='b', mask=[[2, -8, 12, 2, 12, 12]])
    report = warned(tiny_jsonl, rounding, outside)
    [(line, case)] = messages(report, 'polygons outside')
    assert (line, case) == (
        2,
        '1 of 1 parts leave the image by over a tenth of its side',
    )


def test_rows_that_say_the_same(tiny_jsonl):
    other = [[30, 2, 40, 2, 40, 12]]
    report = warned(
        tiny_jsonl,
        row(),
        row(expression='BOX '),
        row(mask=other),
        row(image='images/b.png'),
    )
    assert [n for n, _ in messages(report, 'repeated rows')] == [2]
    [(line, case)] = messages(report, 'ambiguous expressions')
    assert line == 3 and case.endswith('as in line 1')


def test_long_expressions(tiny_jsonl):
    rows = [row(expression='w ' * number) for number in (18, 19)]
    report = warned(tiny_jsonl, *rows)
    [(line, case)] = messages(report, 'long expressions')
    assert line == 2 and case.startswith('19 words')


def test_masks_that_are_suspicious(tiny_jsonl):
    root = tiny_jsonl.parent
    labels = np.zeros((40, 60), np.uint8)
    labels[0, :3] = 4, 6, 9
    Image.fromarray(labels).save(root / 'labels.png')
    full = dict(size=[40, 60], counts=[0, 2400])
    report = warned(
        tiny_jsonl, row(mask='labels.png'), row(expression='b', mask=full)
    )
    [(line, case)] = messages(report, 'masks of many values')
    assert line == 1 and case.endswith('3 values, 4 to 9')
    assert [n for n, _ in messages(report, 'full masks')] == [2]


def test_images_that_viewers_turn(tiny_jsonl):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tiny_jsonl.parent / 'turned.jpg'
    Image.new('RGB', (60, 40)).save(path, exif=exif)
    report = warned(tiny_jsonl, row(image='turned.jpg'))
    [(_, case)] = messages(report, 'turned images')
    assert 'EXIF orientation 6' in case and 'turn_by_exif=True' in case
    path = write(tiny_jsonl, row(image='turned.jpg'))
    assert check_jsonl(path, turn_by_exif=True).status == 'usable'


def test_roots_are_those_of_the_config(tiny_jsonl):
    root = tiny_jsonl.parent
    (root / 'lists').mkdir()
    moved = shutil.move(tiny_jsonl, root / 'lists')
    assert check_jsonl(moved).broken
    assert not check_jsonl(moved, image_root=root, mask_root=root).broken


def test_a_file_without_rows_is_not_usable(tiny_jsonl):
    report = check_jsonl(write(tiny_jsonl, ''))
    assert (
        report.broken and 'no rows' in report.problems['unreadable files'][0]
    )
