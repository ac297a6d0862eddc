"""``mmdit export``; what it writes is seen in tests/export."""

import pytest
import torch
from mmengine.config import Config

from mmdit.registry import MODELS


@pytest.fixture
def model(tiny_segmentor, tmp_path):
    """Write model.py and weights.pth."""
    tiny_segmentor['text_encoder']['config']['num_hidden_layers'] = 1
    tiny_segmentor['backbone']['arch']['depth'] = 1
    tiny_segmentor['decode_head']['num_layers'] = 1
    steps = ('LoadReferImage', 'PackReferSegInputs')
    dataset = dict(pipeline=[dict(type=step) for step in steps])
    loader = dict(batch_size=2, dataset=dataset)
    config = Config(dict(model=tiny_segmentor, test_dataloader=loader))
    config.dump(tmp_path / 'model.py')
    weights = MODELS.build(tiny_segmentor).state_dict()
    torch.save(weights, tmp_path / 'weights.pth')


def test_mistakes_are_one_line(model, mmdit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = mmdit('export', 'model.py', '--out-dir', 'out')
    assert result.stderr.startswith('error: no weights')
    result = mmdit('export', 'model.py', 'weights.pth')
    assert result.stderr.startswith('error: nowhere to write to; give --out')
    args = ['model.py', 'weights.pth', '--out-dir', 'out', '--opset', '9']
    result = mmdit('export', *args)
    assert result.stderr.startswith('error: opset 9')
