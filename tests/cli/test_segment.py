"""``mmdit segment`` and ``demo/image_demo.py``."""

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from in_process import call_tool
from mmengine.config import Config
from pycocotools import mask

from mmdit.apis import ReferringSegInferencer, ResultWriter
from mmdit.cli.segment import main
from mmdit.registry import MODELS

DEMO = Path(__file__).parents[2] / 'demo/image_demo.py'


@pytest.fixture
def command(tiny_segmentor, tmp_path, monkeypatch):
    """Arguments of a call that works: image, expression, model, weights."""
    monkeypatch.chdir(tmp_path)
    steps = ('LoadReferImage', 'PackReferSegInputs')
    dataset = dict(pipeline=[dict(type=step) for step in steps])
    Config(
        dict(
            model=tiny_segmentor,
            test_dataloader=dict(batch_size=2, dataset=dataset),
        )
    ).dump('model.py')
    model = MODELS.build(tiny_segmentor)
    torch.save(model.state_dict(), 'weights.pth')
    assert cv2.imwrite('image.png', np.zeros((20, 30, 3), np.uint8))
    return ['image.png', 'red', '--model=model.py', '--weights=weights.pth']


def test_every_expression_gets_its_line_and_files(command, capsys):
    given = ['--expr', 'a', 'elephant', '--expr', 'b. c.']
    assert main([*command, *given, '--out-dir=out']) == 0
    printed = capsys.readouterr()
    *lines, about, last = printed.out.splitlines()
    rows = json.loads(Path('out/predictions.json').read_text())
    given = ['red', 'a', 'elephant', 'b. c.']
    assert [row['expression'] for row in rows] == given
    assert rows[2]['unknown_words'] == ['elephant']
    assert lines[2].endswith('(unknown to this model: elephant)')
    assert about.startswith('model: trained on ') and ' words' in about
    assert (
        "'b. c.' is one expression" in printed.err and '--expr' in printed.err
    )
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(f'image.png: {row["expression"]}: ')
        assert f'score {row["score"]:.3f}' in line
        assert Path('out', row['mask']).is_file()
    assert last == 'written to out'


def test_masks_are_written_in_all_forms(command, capsys):
    Path('other').mkdir()
    cv2.imwrite('other/image.png', np.zeros((24, 16, 3), np.uint8))
    others = ['other/image.png', *command[1:]]
    for args in ([*command, '--expr', 'blue, or green'], others):
        assert main([*args, '--threshold=0.4', '--out-dir=out']) == 0
    forms = ['coco', 'polygons', 'cutouts', 'ids', 'labelme']
    args = [*command, '--threshold=0.4', '--out-dir=out', '--format']
    assert main([*args, *forms]) == 0
    rows = json.loads(Path('out/predictions.json').read_text())
    assert len(rows) == 3 and all(row['box'] for row in rows)
    areas = [mask.area(row['rle']) for row in rows]
    for row, area in zip(rows, areas, strict=True):
        name = Path(row['mask']).stem
        assert np.count_nonzero(cv2.imread(f'out/{row["mask"]}', 0)) == area
        cut = cv2.imread(f'out/cutouts/{name}.png', cv2.IMREAD_UNCHANGED)
        left, top, right, bottom = row['box']
        assert cut.shape == (bottom - top + 1, right - left + 1, 4)
        assert np.count_nonzero(cut[..., 3]) == area
        feature = json.loads(Path(f'out/polygons/{name}.geojson').read_text())
        assert feature['properties']['expression'] == row['expression']
    coco = json.loads(Path('out/coco.json').read_text())
    assert [one['area'] for one in coco['annotations']] == areas
    # Photographs of one name stay apart.
    sizes = {
        (one['file_name'], one['height'], one['width'])
        for one in coco['images']
    }
    assert sizes == {('image.png', 20, 30), ('other/image.png', 24, 16)}
    with open('out/ids/ids.csv', newline='') as file:
        table = list(csv.DictReader(file))
    assert [row['expression'] for row in table] == [
        row['expression'] for row in rows
    ]
    for row in table:
        assert Path('out/ids', row['image']).is_file()
        assert Path('out/ids/masks', row['mask']).is_file()
    for path in Path('out/labelme').iterdir():
        content = json.loads(path.read_text())
        assert Path('out/labelme', content['imagePath']).is_file()
    assert len(list(Path('out/labelme').iterdir())) == 2


def test_an_empty_mask_is_no_error(command, capsys):
    assert main([*command, '--threshold', '0.999']) == 0
    assert 'image.png: red: nothing found' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (('image.png', 'nowhere.png'), 'nowhere.png does not exist'),
        (('red', ' '), "an expression is ' '"),
        (('--model=model.py', '--model=nothing'), "'nothing' does not exist"),
        (('--weights=weights.pth', '--device=cpu'), 'no weights'),
        (('--model=model.py', '--device=cpu'), 'its config or its folder'),
        (('red', 'red', '--threshold=2'), 'threshold must be'),
        (('red', 'red', '--int8'), '--int8 needs --onnx'),
    ],
)
def test_mistakes_are_one_line_and_status_1(command, capsys, change, message):
    old, *new = change
    i = command.index(old)
    assert main([*command[:i], *new, *command[i + 1 :]]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ') and message in line


def test_without_any_model_the_way_to_one_is_said(command, capsys):
    left = [arg for arg in command if not arg.startswith(('--mo', '--we'))]
    assert main(left) == 1
    assert 'run bash tools/quickstart.sh' in capsys.readouterr().err


@pytest.fixture
def folder(command):
    """A folder of good and bad images, and a call for them."""
    path = Path('photos')
    path.mkdir()
    for name in ('a.png', 'c.png', 'd.png'):
        assert cv2.imwrite(str(path / name), np.zeros((20, 30, 3), np.uint8))
    (path / 'b.jpg').write_bytes(b'no image')
    cv2.imwrite(str(path / 'thin.png'), np.zeros((1, 500, 3), np.uint8))
    (path / '.hidden.jpg').write_bytes(b'no image')
    (path / 'notes.pdf').write_bytes(b'no image')
    return ['photos', *command[1:], '--out-dir=out', '--batch-size=1']


def lines(path='out/predictions.jsonl'):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_bad_images_are_listed_and_cost_nothing(folder, capsys):
    assert main(folder) == 1
    printed = capsys.readouterr()
    names = ['photos/a.png', 'photos/c.png', 'photos/d.png']
    assert [row['image'] for row in lines()] == names
    assert json.loads(Path('out/predictions.json').read_text()) == lines()
    *found, _, last = printed.out.splitlines()
    assert [line.split(':')[0] for line in found] == names
    assert last == 'written to out'
    first, second, count = printed.err.splitlines()
    assert 'photos/b.jpg is not an image' in first
    assert 'photos/thin.png' in second and count == 'error: 2 failures'


def test_it_stops_where_it_is_told_to(folder, capsys):
    assert main([*folder, '--on-error=stop']) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: photos/b.jpg')
    assert [row['image'] for row in lines()] == ['photos/a.png']
    assert Path('out/predictions.json').is_file()


def count_steps(monkeypatch):
    seen = []
    forward = ReferringSegInferencer.forward

    def counted(self, inputs, *args, **kwargs):
        seen.extend(item.image.name for item in inputs)
        return forward(self, inputs, *args, **kwargs)

    monkeypatch.setattr(ReferringSegInferencer, 'forward', counted)
    return seen


def test_an_interrupted_call_goes_on(folder, capsys, monkeypatch):
    seen = count_steps(monkeypatch)
    write = ResultWriter.write

    def interrupted(self, row, overlay):
        if row['image'] == 'photos/d.png':
            raise KeyboardInterrupt
        write(self, row, overlay)

    monkeypatch.setattr(ResultWriter, 'write', interrupted)
    assert main(folder) == 130
    assert len(lines()) == 2
    monkeypatch.setattr(ResultWriter, 'write', write)
    Path('photos/b.jpg').write_bytes(Path('photos/a.png').read_bytes())
    Path('photos/thin.png').unlink()
    seen.clear()
    capsys.readouterr()
    assert main(folder) == 0
    assert seen == ['photos/b.jpg', 'photos/d.png']
    printed = capsys.readouterr()
    assert [line.split(':')[0] for line in printed.out.splitlines()[:-2]] == [
        f'photos/{name}' for name in ('a.png', 'c.png', 'b.jpg', 'd.png')
    ]
    assert not printed.err
    assert len(json.loads(Path('out/predictions.json').read_text())) == 4


@pytest.mark.parametrize(
    ('change', 'named'),
    [('--threshold=0.4', 'threshold'), ('--weights=other.pth', 'model')],
)
def test_predictions_of_another_model_are_not_used(
    command, capsys, monkeypatch, change, named
):
    state = torch.load('weights.pth')
    next(iter(state.values())).view(-1)[0] += 1
    torch.save(state, 'other.pth')
    seen = count_steps(monkeypatch)
    assert main(command) == main(command) == 0
    assert seen == ['image.png']
    assert not capsys.readouterr().err
    assert main([*command, change]) == 0
    assert seen == ['image.png'] * 2
    message = f'an earlier call are replaced: {named} differ'
    assert message in capsys.readouterr().err


def test_the_limit_of_size_is_an_option(command, capsys):
    assert main([*command, '--max-pixels=599']) == 1
    assert '--max-pixels' in capsys.readouterr().err
    assert main([*command, '--max-pixels=600']) == 0


def test_whatever_breaks_is_a_sentence(command, capsys, monkeypatch):
    def broken(*_, **__):
        raise cv2.error('OpenCV(5.0)\n\n(-215) size > 0')

    monkeypatch.setattr(ReferringSegInferencer, 'forward', broken)
    assert main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: image.png: error: OpenCV(5.0) (-215)')


def test_an_expression_that_is_no_utf8_is_a_sentence(command, capsys):
    assert main([command[0], os.fsdecode(b'caf\xe9'), *command[2:]]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'give it as UTF-8' in line
    assert not Path('outputs').exists()


def test_a_missing_expression_is_status_2(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(['image.png'])
    assert exit_info.value.code == 2
    assert 'expression' in capsys.readouterr().err


def test_the_demo_is_the_command(command, tmp_path):
    call_tool('demo/image_demo.py', tmp_path, *command)
    assert (tmp_path / 'outputs/predictions.json').is_file()
