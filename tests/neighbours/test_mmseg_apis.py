"""MMSegmentation's own way to models, with SAMViT in them."""

import mmseg
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.apis import MMSegInferencer, inference_model, init_model

from mmdit.registry import DATASETS

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]


@pytest.fixture(autouse=True)
def scopes(monkeypatch):
    """Let no scope outlive its test: MMSegmentation sets one for good."""
    known = DefaultScope._instance_dict.copy()
    monkeypatch.setattr(DefaultScope, '_instance_dict', known)


@pytest.fixture(scope='module')
def config():
    """A config of MMSegmentation whose encoder is SAMViT."""
    return Config(
        dict(
            default_scope='mmseg',
            model=dict(
                type='EncoderDecoder',
                data_preprocessor=dict(
                    type='SegDataPreProcessor', size=(70, 88)
                ),
                backbone=dict(
                    type='mmdit.SAMViT',
                    arch=dict(embed_dims=16, depth=2, num_heads=2),
                    out_indices=(0, 1),
                    init_cfg=dict(
                        type='mmdit.SAMPretrained', checkpoint='/nowhere'
                    ),
                ),
                decode_head=dict(
                    type='FCNHead',
                    in_channels=16,
                    channels=8,
                    num_classes=19,
                    in_index=1,
                    norm_cfg=dict(type='SyncBN'),
                ),
                test_cfg=dict(mode='whole'),
            ),
            test_dataloader=dict(
                dataset=dict(type='CityscapesDataset', pipeline=PIPELINE)
            ),
            test_pipeline=PIPELINE,
            visualizer=dict(type='SegLocalVisualizer', name='borrowed'),
        )
    )


@pytest.fixture(scope='module')
def checkpoint(config, tmp_path_factory):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = mmseg.registry.MODELS.build(config.model)
    path = tmp_path_factory.mktemp('weights') / 'trained.pth'
    meta = dict(dataset_meta=dict(classes=['a'] * 19, palette=[[0] * 3] * 19))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


IMAGE = np.random.default_rng(0).integers(0, 256, (70, 88, 3), np.uint8)


def test_init_model_and_the_inferencer_agree(config, checkpoint):
    model = init_model(config.copy(), checkpoint, device='cpu')
    found = inference_model(model, IMAGE).pred_sem_seg.data[0]
    assert found.shape == (70, 88)
    inferencer = MMSegInferencer(
        config.copy(),
        checkpoint,
        device='cpu',
        classes=['a'] * 19,
        palette=[[0] * 3] * 19,
    )
    said = inferencer(IMAGE)['predictions']
    assert np.array_equal(said, found)


def test_masks_of_an_expression_are_what_their_losses_take(tiny_refer):
    dataset = DATASETS.build(
        dict(
            type='mmdit.RefCOCODataset',
            data_root=str(tiny_refer),
            split='train',
            pipeline=[
                dict(type='mmdit.LoadReferImage'),
                dict(type='mmdit.LoadReferMask'),
                dict(type='mmdit.PackReferSegInputs'),
            ],
        )
    )
    truth = dataset[0]['data_samples'].gt_sem_seg.data
    with DefaultScope.overwrite_default_scope('mmseg'):
        loss = mmseg.registry.MODELS.build(dict(type='CrossEntropyLoss'))
    logits = torch.zeros(1, 2, *truth.shape[1:])
    assert loss(logits, truth) == pytest.approx(np.log(2))
