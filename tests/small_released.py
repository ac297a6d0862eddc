"""A small file in the format of the method's authors."""

import torch

from mmdit.checkpoints.sources import from_mmdit
from mmdit.registry import MODELS


def small_released(bert_dir, first_block=0, weights=None):
    """Return the config of a small L-DIT as the authors compute it."""
    return dict(
        type='mmdit.ReferringSegmentor',
        text_encoder=dict(
            type='mmdit.BertTextEncoder', pretrained=bert_dir, num_layers=1
        ),
        backbone=dict(
            type='mmdit.SAMViT',
            arch=dict(
                embed_dims=32, depth=2, num_heads=2, global_attn_indexes=(1,)
            ),
            text_injector=dict(
                type='mmdit.LayerwiseProjection', first_block=first_block
            ),
        ),
        decode_head=dict(type='mmdit.SAMMaskHead'),
        init_cfg=weights
        and dict(type='mmdit.SAMPretrained', checkpoint=weights),
    )


def save_released(bert_dir, path):
    """Save random weights of a small L-DIT; return the path."""
    torch.manual_seed(0)
    model = MODELS.build(small_released(bert_dir))
    for value in model.parameters():
        value.data += 0.05 * torch.randn_like(value)
    theirs = from_mmdit(model.state_dict(), 'dit').state_dict
    wrapped = {f'module.{key}': value for key, value in theirs.items()}
    torch.save(dict(state_dict=wrapped, epoch=25, lr=1e-4), path)
    return str(path)
