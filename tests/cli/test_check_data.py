import json
import sys

import cv2
import numpy as np
import pytest

from mmdit.cli.main import main


@pytest.fixture(autouse=True)
def own_argv(monkeypatch):
    """Commands write sys.argv; restore it."""
    monkeypatch.setattr(sys, 'argv', ['pytest'])


def test_a_folder_is_checked_as_refcoco(tiny_refer, capsys):
    options = ['--workers', '1', '--dataset', 'refcoco']
    assert main(['check-data', str(tiny_refer), *options]) == 0
    assert 'refcoco (unc): usable' in capsys.readouterr().out


def test_a_broken_folder_is_status_1(tiny_refer, capsys):
    for path in tiny_refer.rglob('*.jpg'):
        path.unlink()
    assert main(['check-data', str(tiny_refer), '--workers', '1']) == 1


def test_lines_are_checked_as_lines(tmp_path, capsys):
    path = tmp_path / 'train.jsonl'
    path.write_text(json.dumps(dict(image='a.png', expression='x')) + '\n')
    assert main(['check-data', str(path), '--workers', '1']) == 1
    assert 'BROKEN: broken rows (1)' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['nowhere', 'nowhere.jsonl'])
def test_data_that_are_nowhere_are_wrong_arguments(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main(['check-data', name])
    assert stop.value.code == 2
    assert f'mmdit check-data: error: {name} ' in capsys.readouterr().err


COCO = dict(info={}, images=[], annotations=[], categories=[])
LABELME = dict(version='5.2.1', flags={}, shapes=[], imagePath='a.jpg')


@pytest.mark.parametrize(
    ('name', 'content', 'kind'),
    [
        ('instances.json', COCO, 'coco'),
        ('a.json', LABELME, 'labelme'),
        ('tasks.json', [dict(id=1, annotations=[])], 'label-studio'),
    ],
)
@pytest.mark.parametrize('whole', [True, False])
def test_annotations_of_other_tools_name_the_way(
    name, content, kind, whole, tmp_path, capsys
):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    given = str(path if whole else tmp_path)
    assert main(['check-data', given]) == 1
    advice = f'mmdit convert-data {kind} {given} OUT.jsonl'
    assert advice in capsys.readouterr().err


def test_images_of_two_files_are_found(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 20, 30, 3))
    for name, image in zip('ab', pixels, strict=True):
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    content = (tmp_path / 'b.png').read_bytes()
    (tmp_path / 'copy.png').write_bytes(content)
    row = dict(expression='x', mask=[[1, 1, 9, 1, 9, 9]])
    files = []
    for names in (('a', 'b'), ('copy', 'a')):
        files.append(tmp_path / f'{names[0]}.jsonl')
        rows = [dict(row, image=f'{name}.png') for name in names]
        files[-1].write_text('\n'.join(map(json.dumps, rows)))
    assert main(['check-data', *map(str, files), '--workers', '1']) == 0
    printed = capsys.readouterr().out
    assert 'images of another file (2)' in printed
    copied = f'{tmp_path}/copy.png: {files[0]} as {tmp_path}/b.png\n'
    assert copied in printed
    assert f'{tmp_path}/a.png: {files[0]}\n' in printed


def test_converted_annotations_are_usable(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((40, 60, 3), 90, np.uint8))
    content = dict(
        COCO,
        images=[dict(id=1, file_name='a.png', height=40, width=60)],
        annotations=[
            dict(
                id=1,
                image_id=1,
                caption='the square',
                segmentation=[[10, 5, 30, 5, 30, 20, 10, 20]],
            ),
            dict(id=2, image_id=1, caption='boxed', segmentation=[]),
        ],
    )
    path = tmp_path / 'instances.json'
    path.write_text(json.dumps(content))
    out = tmp_path / 'own/train.jsonl'
    assert main(['convert-data', 'coco', str(path), str(out)]) == 0
    told = capsys.readouterr()
    assert told.out == f'1 rows, 1 images: {out}\n'
    assert 'left out: no mask' in told.err and 'annotation 2' in told.err
    assert main(['check-data', str(out), '--workers', '1']) == 0


def test_the_help_says_what_is_weak(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['convert-data', '--help'])
    assert stop.value.code == 0
    assert 'are weak' in ' '.join(capsys.readouterr().out.split())
