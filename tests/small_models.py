"""Configs and checkpoints of small models."""

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdit.registry import MODELS

# None is plain SAM.
INJECTORS = [
    None,
    'LayerwiseProjection',
    'LayerwiseToken',
    'LayerwiseCrossAttention',
    'LayerwiseCrossAttentionFFN',
    'EndToEndProjection',
    'EndToEndToken',
]
PIPELINE = [
    dict(type='LoadReferImage'),
    dict(type='Resize', scale=(32, 32), keep_ratio=True),
    dict(type='LoadReferMask'),
    dict(type='PackReferSegInputs'),
]


def make_config(segmentor, tiny_refer):
    """Return the config of a small model, and of the data that test it."""
    segmentor['decode_head']['threshold'] = 0.5
    return Config(
        dict(
            default_scope='mmdit',
            model=segmentor,
            test_dataloader=dict(
                batch_size=4,
                num_workers=0,
                collate_fn=dict(type='mmdit.one_storage_collate'),
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(
                    type='RefCOCODataset',
                    data_root=str(tiny_refer),
                    split='train',
                    test_mode=True,
                    pipeline=PIPELINE,
                ),
            ),
            test_evaluator=dict(type='ReferIoUMetric'),
            test_cfg=dict(type='TestLoop'),
        )
    )


def save_weights(config, path):
    """Save a checkpoint of random weights in which every part matters."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdit'):
        model = MODELS.build(config.model)
    # The words must matter, and logits be of either sign.
    for name, parameter in model.named_parameters():
        if 'text_' in name and parameter.ndim > 1:
            torch.nn.init.normal_(parameter)
    mixing = model.decode_head.mask_decoder.output_hypernetworks_mlps[0]
    torch.nn.init.normal_(mixing.layers[-1].weight)
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)
