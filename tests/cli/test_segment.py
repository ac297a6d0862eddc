"""``mmdit segment`` and ``demo/image_demo.py``."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

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
    status = main([*command, '--expr', 'a', '--expr', 'b', '--out-dir=out'])
    assert status == 0
    *lines, last = capsys.readouterr().out.splitlines()
    rows = json.loads(Path('out/predictions.json').read_text())
    assert [row['expression'] for row in rows] == ['red', 'a', 'b']
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(f'image.png: {row["expression"]}: ')
        assert f'score {row["score"]:.3f}' in line
        assert Path('out', row['mask']).is_file()
    assert last == 'written to out'


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
        (('--model=model.py', '--device=cpu'), 'run bash tools/quickstart.sh'),
        (('red', 'red', '--threshold=2'), 'threshold must be'),
    ],
)
def test_mistakes_are_one_line_and_status_1(command, capsys, change, message):
    old, *new = change
    i = command.index(old)
    assert main([*command[:i], *new, *command[i + 1 :]]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ') and message in line


def test_a_missing_expression_is_status_2(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(['image.png'])
    assert exit_info.value.code == 2
    assert 'expression' in capsys.readouterr().err


def test_help_comes_without_importing_torch():
    code = (
        'import sys; from mmdit.cli.segment import main\n'
        'try:\n    main(["--help"])\n'
        'except SystemExit: print("torch" in sys.modules)'
    )
    printed = subprocess.run(
        [sys.executable, '-c', code],
        cwd=DEMO.parents[1],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert '--out-dir' in printed
    assert printed.endswith('False\n')


@pytest.mark.slow
def test_the_demo_is_the_command(command, tmp_path):
    result = subprocess.run(
        [sys.executable, DEMO, *command],
        env={'PYTHONPATH': str(DEMO.parents[1]), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'outputs/predictions.json').is_file()
