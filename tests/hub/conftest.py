"""A small model with its config, to be saved."""

import pytest
import torch
from mmengine.config import Config

from mmdit.registry import MODELS

PIPELINE = [
    dict(type='LoadReferImage'),
    dict(type='Resize', scale=(32, 32), keep_ratio=True),
    dict(type='LoadReferMask'),
    dict(type='PackReferSegInputs'),
]


@pytest.fixture
def config(tiny_segmentor):
    tiny_segmentor['init_cfg'] = dict(
        type='mmdit.SAMPretrained', checkpoint='/home/me/sam.pth'
    )
    dataset = dict(
        type='RefCOCODataset', data_root='/home/me/data', pipeline=PIPELINE
    )
    return Config(
        dict(
            model=tiny_segmentor,
            test_dataloader=dict(batch_size=3, num_workers=2, dataset=dataset),
            train_cfg=dict(max_iters=5),
        )
    )


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    return MODELS.build(config.model).eval()
