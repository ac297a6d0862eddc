"""The export script, as a user calls it."""

import pytest
import torch
from mmengine.config import Config

from mmdit.registry import MODELS

TOOL = 'deployment/export.py'


@pytest.fixture
def model(tiny_segmentor, tmp_path):
    """Write model.py and weights.pth."""
    tiny_segmentor['backbone']['arch']['depth'] = 1
    tiny_segmentor['decode_head']['num_layers'] = 1
    steps = ('LoadReferImage', 'PackReferSegInputs')
    dataset = dict(pipeline=[dict(type=step) for step in steps])
    loader = dict(batch_size=2, dataset=dataset)
    config = Config(dict(model=tiny_segmentor, test_dataloader=loader))
    config.dump(tmp_path / 'model.py')
    weights = MODELS.build(tiny_segmentor).state_dict()
    torch.save(weights, tmp_path / 'weights.pth')


def call(run_tool, folder, *args):
    """Run the script to its end, which is an exit with status 0."""
    with pytest.raises(SystemExit) as stop:
        run_tool(TOOL, folder, *args)
    return stop.value.code


@pytest.mark.slow
def test_both_formats_are_written_and_compared(
    model, run_tool, tmp_path, capsys
):
    args = ['model.py', 'weights.pth', '--out', 'out', '--format', 'both']
    assert call(run_tool, tmp_path, *args, '--verify') == 0
    lines = capsys.readouterr().out.splitlines()
    written = [line for line in lines if line.startswith('out/')]
    assert [line.partition(':')[0] for line in written] == [
        'out/text.onnx',
        'out/text.pt2',
        'out/mask.onnx',
        'out/mask.pt2',
    ]
    assert 'opset 18' in written[0] and 'opset' not in written[1]
    assert all('probabilities' in line for line in written[2:])
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert names >= {'settings.json', 'tokenizer.json'}


def test_mistakes_are_one_line(model, run_tool, tmp_path):
    code = call(run_tool, tmp_path, 'model.py', '--out', 'out')
    assert code.startswith('error: no weights')
    args = ['model.py', 'weights.pth', '--out', 'out', '--opset', '9']
    code = call(run_tool, tmp_path, *args)
    assert code.startswith('error: opset 9')
