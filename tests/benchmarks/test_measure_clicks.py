"""benchmarks/measure_clicks.py."""

import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from mmdit.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/synthref/text-prompts_sam-tiny_synthref-64x64.py'


@pytest.fixture
def tool():
    import measure_clicks

    return measure_clicks


@pytest.fixture
def sample():
    """An image of 20 x 30 that was made twice as large."""
    return SegDataSample(metainfo=dict(img_shape=(40, 60)))


def predict(truth_box, found_box):
    """A prediction whose masks are boxes of rows and columns."""
    prediction = SegDataSample()
    for name, (top, bottom, left, right) in (
        ('gt_sem_seg', truth_box),
        ('pred_sem_seg', found_box),
    ):
        mask = torch.zeros(1, 20, 30)
        mask[:, top:bottom, left:right] = 1
        setattr(prediction, name, PixelData(data=mask))
    logits = torch.arange(3.0).view(3, 1, 1).expand(3, 8, 8)
    prediction.pred_masks = InstanceData(
        scores=torch.tensor([0.1, 0.9, 0.3]), low_res_masks=logits
    )
    return prediction


def test_the_larger_mistake_is_clicked(tool, sample):
    missed = tool.add_click(sample, predict((0, 9, 0, 20), (0, 9, 0, 11)))
    assert missed.prompts.labels.tolist() == [1, -1]
    x, y = (missed.prompts.points[0] / 2).round().tolist()
    assert 11 <= x < 20 and 0 <= y < 9
    surplus = tool.add_click(sample, predict((0, 5, 0, 5), (0, 5, 0, 25)))
    assert surplus.prompts.labels.tolist() == [0, -1]
    # The best mask is what the next one starts from.
    assert surplus.mask_input.data.unique().tolist() == [1]


def test_clicks_add_up_and_a_right_mask_gets_none(tool, sample):
    wrong = predict((0, 9, 0, 20), (0, 9, 0, 11))
    once = tool.add_click(sample, wrong)
    twice = tool.add_click(once, wrong)
    assert twice.prompts.labels.tolist() == [1, 1, -1]
    assert torch.equal(twice.prompts.points[0], once.prompts.points[0])
    right = predict((0, 9, 0, 20), (0, 9, 0, 20))
    assert tool.add_click(sample, right) is sample


def test_a_box_needs_no_padding(tool, sample):
    sample.prompts = InstanceData(
        points=torch.tensor([[0.0, 0.0], [40.0, 20.0]]),
        labels=torch.tensor([2, 3]),
    )
    wrong = predict((0, 9, 0, 20), (0, 9, 0, 11))
    assert tool.add_click(sample, wrong).prompts.labels.tolist() == [2, 3, 1]


def test_every_number_of_clicks_has_its_row(
    tool, tiny_data, tmp_path, monkeypatch, capsys
):
    vocab = tmp_path / 'vocab.txt'
    vocab.write_text('[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nsquare\n')
    cfg = Config.fromfile(CONFIG)
    cfg.model.init_cfg = None
    cfg.model.text_encoder.vocab_file = str(vocab)
    cfg.test_dataloader.dataset.data_root = str(tiny_data)
    cfg.dump(tmp_path / 'config.py')
    init_default_scope('mmdit')
    weights = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'model.pth')
    files = [str(tmp_path / 'config.py'), str(tmp_path / 'model.pth')]
    argv = ['measure_clicks.py', *files, '--clicks', '2']
    monkeypatch.setattr(sys, 'argv', argv)
    tool.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip('│ ').split() for line in lines if '│' in line]
    assert [row[0] for row in rows] == ['0', '1', '2']
