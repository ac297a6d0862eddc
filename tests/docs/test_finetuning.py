"""The commands of docs/finetuning.md, one after the other, with tiny files."""

import json

import numpy as np
import pytest
import torch
from pages import read_blocks, read_page, run_line
from PIL import Image
from small_released import save_released

pytestmark = pytest.mark.slow

PAGE = read_page('finetuning.md')
# The encoder of the small file, and little of everything.
SMALLER = """
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=32,
            depth=2,
            num_heads=2,
            global_attn_indexes=(1,),
        )
    )
)
train_dataloader = dict(batch_size=2, num_workers=0)
val_dataloader = dict(num_workers=0)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
"""


@pytest.fixture
def folder(tmp_path, bert_dir, tiny_data):
    """Data of one's own, a photo, BERT and the authors' weights."""
    (tmp_path / 'bert-base-uncased').symlink_to(bert_dir)
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/own').symlink_to(tiny_data)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.jpg')
    save_released(bert_dir, tmp_path / 'released.pth')
    return tmp_path


def test_every_command_runs(folder):
    (config,) = read_blocks(PAGE, 'python')
    lines = [
        line
        for block in read_blocks(PAGE, 'bash')
        for line in block.splitlines()
    ]
    assert len(lines) == 9
    printed = []
    for line in lines:
        printed.append(run_line(line, folder))
        if line.startswith('mmdit config '):
            with open(folder / 'finetune.py', 'a') as file:
                file.write(config + SMALLER)
    assert 'OK, 1 rows' in printed[2]
    assert 'trained on annotations of your own' in printed[7]
    rows = [
        json.loads((folder / path).read_text())
        for path in (
            'work_dirs/finetuned/results.json',
            'work_dirs/before.json',
        )
    ]
    assert len(rows[0]) == len(rows[1])
    given = torch.load(folder / 'released.pth')['state_dict']
    for name in ('finetuned', 'further'):
        (path,) = (folder / 'work_dirs' / name).glob('epoch_*.pth')
        state = torch.load(path, weights_only=False)['state_dict']
        # Little has changed of what was given, and something has.
        moved = (
            state['decode_head.text_proj.weight']
            - given['module.text_proj.weight']
        )
        assert 0 < moved.abs().max() < 1e-3
