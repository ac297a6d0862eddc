"""Small models that are exported."""

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdit.registry import MODELS

RESIZE = dict(type='Resize', scale=(32, 32), keep_ratio=True)


def build_model(
    cfg, injector='LayerwiseProjection', attention='all', mask_padding=False
):
    """Build a variant with weights of which every one matters.

    Windows of 3 x 3 tokens do not divide the grid of 4 x 4, and tables for
    64 px are resized to 32 px.
    """
    backbone = cfg['backbone']
    backbone.update(attention=attention, window_size=3)
    backbone['arch'] = dict(
        embed_dims=16, depth=2, num_heads=2, global_attn_indexes=(1,)
    )
    if isinstance(injector, str):
        injector = dict(type=f'mmdit.{injector}')
    backbone['text_injector'] = injector
    cfg['text_encoder']['mask_padding'] = mask_padding
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdit'):
        model = MODELS.build(cfg)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            is_text = 'text_' in name and not name.startswith('text_encoder')
            std = 1.0 if is_text else 0.2
            torch.nn.init.normal_(parameter, std=std)
    return model.eval()


def make_config(segmentor, *steps):
    """Return a config with a test pipeline of these steps."""
    names = ('LoadReferImage', *steps, 'LoadReferMask', 'PackReferSegInputs')
    pipeline = [n if isinstance(n, dict) else dict(type=n) for n in names]
    dataset = dict(type='RefCOCODataset', pipeline=pipeline)
    return Config(
        dict(
            default_scope='mmdit',
            model=segmentor,
            test_dataloader=dict(batch_size=2, dataset=dataset),
        )
    )
