"""The models that ``speed.py`` compares, with the same random weights."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from machine import ROOT
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from speed_plain import PlainEncoder
from torch import Tensor, nn

from mmdit.checkpoints.rename import rename
from mmdit.checkpoints.sam import TO_HF_SAM_PREFIXES
from mmdit.models.backbones import SAMViT
from mmdit.models.backbones.archs import ARCHS
from mmdit.models.complexity import SPECIAL_TOKENS
from mmdit.models.layers import resize_position
from mmdit.registry import MODELS

TEXT_TOKENS = 20
# Sizes that a CPU computes in no time, to try a benchmark.
QUICK = 'quick'
QUICK_ARCH = dict(
    embed_dims=32, depth=2, num_heads=2, global_attn_indexes=(1,)
)
QUICK_BERT = dict(
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
)


def build_sam_vit(arch: str, **options: Any) -> SAMViT:
    """Build our encoder with random weights, the same each time."""
    torch.manual_seed(0)
    model = SAMViT(arch, **options)
    for name, parameter in model.named_parameters():
        if 'rel_pos' in name or 'injector' in name:
            nn.init.normal_(parameter, std=0.02)
    return model


def build_ldit(arch: str, backend: str) -> SAMViT:
    """Build L-DIT's encoder with random weights, the same each time."""
    return build_sam_vit(
        arch,
        window_size=0,
        text_injector=dict(type='LayerwiseProjection', dropout=0.0),
        text_dims=ARCHS[arch]['embed_dims'],
        attention_backend=backend,
    )


def build_plain_ldit(arch: str, size: int) -> nn.Module:
    """Build the plain encoder with the same weights."""
    model = build_ldit(arch, 'reference')
    assert model.text_injector is not None
    encoder = build_segment_anything(arch, size, windowed=False)
    return PlainEncoder(
        load_resized(encoder, sam_weights(model), size),
        model.text_injector.projections,
    )


def sam_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of an encoder without its injector."""
    return {
        key: value
        for key, value in model.state_dict().items()
        if not key.startswith('text_injector.')
    }


def build_plain_sam(arch: str, windowed: bool) -> nn.Module:
    """Build our encoder without text, the same each time."""
    if windowed:
        return build_sam_vit(arch, attention='windowed')
    # No windows, no small relative tables: those that Meta's class has then.
    return build_sam_vit(arch, window_size=0)


def build_segment_anything(arch: str, size: int, windowed: bool) -> nn.Module:
    """Build Meta's encoder with our weights."""
    from segment_anything.modeling import ImageEncoderViT

    sizes = ARCHS[arch]
    blocks = (
        sizes['global_attn_indexes'] if windowed else range(sizes['depth'])
    )
    model = ImageEncoderViT(
        img_size=1024,
        embed_dim=sizes['embed_dims'],
        depth=sizes['depth'],
        num_heads=sizes['num_heads'],
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=tuple(blocks),
    )
    return load_resized(
        model, build_plain_sam(arch, windowed).state_dict(), size
    )


def build_transformers(arch: str, size: int, windowed: bool) -> nn.Module:
    """Build the encoder of transformers with our weights."""
    from transformers import SamVisionConfig, SamVisionModel

    sizes = ARCHS[arch]
    blocks = (
        sizes['global_attn_indexes'] if windowed else range(sizes['depth'])
    )
    config = SamVisionConfig(
        hidden_size=sizes['embed_dims'],
        num_hidden_layers=sizes['depth'],
        num_attention_heads=sizes['num_heads'],
        mlp_dim=4 * sizes['embed_dims'],
        global_attn_indexes=list(blocks),
        image_size=size,
        attn_implementation='sdpa',
    )
    weights = build_plain_sam(arch, windowed).state_dict()
    renamed = rename(
        {f'backbone.{key}': value for key, value in weights.items()},
        TO_HF_SAM_PREFIXES,
        'encoder',
    )
    return load_resized(SamVisionModel(config), renamed.state_dict, size)


def load_resized(
    model: nn.Module, weights: dict[str, Tensor], size: int
) -> nn.Module:
    """Load weights; position tables get the model's size.

    These encoders take one size of image. Ours resizes its tables whenever
    it meets another, by the same interpolation.
    """
    grid = size // 16
    positions = nn.Parameter(torch.empty(0))
    for module in model.modules():
        positions = getattr(module, 'pos_embed', positions)
    state = model.state_dict()
    for name, value in weights.items():
        if name.endswith('pos_embed'):
            resized = resize_position(value, (grid, grid))
            positions.data = resized.clone()
            state[name] = resized
        elif state[name].shape == value.shape:
            state[name] = value
        else:  # a relative table: the model resizes its own, linearly
            length = state[name].shape[0]
            state[name] = nn.functional.interpolate(
                value.t()[None], size=length, mode='linear'
            )[0].t()
    model.load_state_dict(state)
    return model


@contextmanager
def segmentor_config(
    arch: str,
    size: int,
    backend: str = 'auto',
    first_block: int | None = 0,
    with_cp: bool = False,
) -> Iterator[ConfigDict]:
    """Give the model of L-DIT; of SAM, text in its head, without a block.

    Its BERT-base needs no download. A vocabulary is there while this lasts.
    """
    from transformers import BertConfig

    bert = dict(vocab_size=BertConfig().vocab_size)
    if arch == QUICK:
        bert = QUICK_BERT
    injector = None
    if first_block is not None:
        injector = dict(type='LayerwiseProjection', first_block=first_block)
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/sam-vit-b.py').model
    cfg.pop('init_cfg')
    cfg.backbone.update(
        arch=arch,
        attention_backend=backend,
        text_injector=injector,
        with_cp=with_cp,
    )
    cfg.data_preprocessor.size = (size, size)
    init_default_scope('mmdit')
    with tempfile.TemporaryDirectory() as folder:
        vocab = Path(folder, 'vocab.txt')
        words = SPECIAL_TOKENS + 'the\nred\nthing\n'
        vocab.write_text(words, encoding='utf-8')
        cfg.text_encoder = dict(
            type='BertTextEncoder',
            config=bert,
            vocab_file=str(vocab),
            max_tokens=TEXT_TOKENS,
        )
        yield cfg


def build_segmentor(*args: Any, **kwargs: Any) -> BaseModel:
    """Build the model of :func:`segmentor_config` with random weights."""
    torch.manual_seed(0)
    with segmentor_config(*args, **kwargs) as cfg:
        return MODELS.build(cfg)


def compile_blocks(model: nn.Module, **options: Any) -> None:
    """Let each block of the image encoder be one compiled function.

    Args:
        model: Any model with a ``SAMViT``.
        options: Of ``torch.compile``.
    """
    for module in model.modules():
        if isinstance(module, SAMViT):
            for block in module.blocks:
                block.compile(**options)
