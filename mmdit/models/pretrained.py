"""SAM's weights, in any of their formats, as an initialization."""

from collections.abc import Collection, Iterable

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule, update_init_info
from torch import Tensor, nn

from mmdit.checkpoints.architecture import LAYERS
from mmdit.checkpoints.dit import count_text_layers, drop_text_layers
from mmdit.checkpoints.files import read_checkpoint
from mmdit.checkpoints.settings import (
    compare_settings,
    describe_settings,
    recorded_settings,
)
from mmdit.checkpoints.sources import (
    ENCODER,
    SOURCES,
    drop_absent,
    read_encoder,
    to_mmdit,
)
from mmdit.checkpoints.strict import check_finite, find_mismatches
from mmdit.registry import WEIGHT_INITIALIZERS

from .backbones import SAMViT
from .layers import fit_tables

# What the paper adds to SAM: it starts from its own initialization.
ADDED_PREFIXES = (
    'text_encoder.',
    'backbone.text_injector.',
    'decode_head.text_proj.',
    'data_preprocessor.',
)
SAM_LAYERS = 2


@WEIGHT_INITIALIZERS.register_module()
class SAMPretrained:
    """Fill a segmentor, or its encoder alone, with SAM's weights, strictly.

    Every tensor of the file must find its place. What the paper adds to SAM
    (:data:`ADDED_PREFIXES`, decoder layers beyond those of the file) may be
    missing where the file is SAM alone; a checkpoint with text must fill
    everything.

    A :class:`SAMViT` in any project takes the image encoder of the same
    files, or of a model that it was trained in; all else is left out by name,
    also the neck and the injector where it has none. Position tables of
    another ``img_size`` or ``window_size`` are resized, and said.

    Args:
        checkpoint: A file (``.pth``, ``.bin``, ``.safetensors``), a directory
            as ``transformers`` writes it, or the URL of a file.
        source: 'sam' (Meta's), 'hf-sam' (transformers' ``SamModel``), 'dit'
            (the authors' trained models), 'mmpretrain' (``ViTSAM``), 'mmdit'
            (this project's own, or any with its encoder), or 'auto' to tell
            them apart by their keys.
    """

    def __init__(self, checkpoint: str, source: str = 'auto') -> None:
        self.checkpoint = checkpoint
        self.source = source

    def __call__(self, module: nn.Module) -> None:
        """Load into a :class:`ReferringSegmentor` or a :class:`SAMViT`."""
        checkpoint = read_checkpoint(self.checkpoint)
        is_encoder = isinstance(module, SAMViT)
        above = ENCODER if is_encoder else ''
        expected = {above + k: v for k, v in module.state_dict().items()}
        read = read_encoder if is_encoder else to_mmdit
        source, renamed = read(checkpoint['state_dict'], self.source)
        if is_encoder:
            drop_absent(renamed, expected)
        elif source == 'dit':
            drop_text_layers(renamed, count_text_layers(expected))
        given = renamed.state_dict
        resized = fit_tables(given, module, above) if is_encoder else []
        added = _find_added(expected, given, source)
        lines = find_mismatches(expected, given, added)
        if lines:
            advice = (
                'patch_size and out_channels'
                if is_encoder
                else 'and the text parts of the config to match those of the '
                'file (mmdit convert can take them out, with --first-block '
                'those of the first blocks alone)'
            )
            raise ValueError(
                f'{self.checkpoint} ({SOURCES[source].title}) does not fit '
                'this model; choose arch of SAMViT (base, large, huge) to '
                f'match the checkpoint (sam_vit_b, _l, _h), {advice}:\n  '
                + '\n  '.join(lines)
            )
        check_finite(given)
        compare_settings(
            recorded_settings(checkpoint),
            describe_settings(
                module, place='model.backbone' if is_encoder else 'model'
            ),
            trains_on=True,
        )
        with torch.no_grad():
            for key, value in given.items():
                expected[key].copy_(value)
        _mark_filled(module, {k.removeprefix(above) for k in given})
        if hasattr(module, '_params_init_info'):
            update_init_info(module, f'loaded from {self.checkpoint}')
        own = [p for p in added if any(k.startswith(p) for k in expected)]
        print_log(
            '; '.join(
                [
                    f'filled {len(given)} of {len(expected)} tensors from '
                    f'{self.checkpoint} ({SOURCES[source].title})',
                    *renamed.describe_dropped(),
                    *(f'resized {what}' for what in resized),
                    *(f'{p} starts from its own initialization' for p in own),
                ]
            ),
            logger='current',
        )


def _find_added(
    expected: Iterable[str], given: dict[str, Tensor], source: str
) -> list[str]:
    """List the prefixes of ``expected`` that ``given`` need not fill."""
    if source == 'dit' or any(key.startswith(ADDED_PREFIXES) for key in given):
        return []
    if source == 'mmpretrain':
        return [*ADDED_PREFIXES, 'decode_head.']
    last = max([SAM_LAYERS - 1, *_layers(given)])
    extra = [i for i in sorted(_layers(expected)) if i > last]
    return [*ADDED_PREFIXES, *(f'{LAYERS}{i}.' for i in extra)]


def _layers(keys: Iterable[str]) -> set[int]:
    """Return the indices of the mask decoder's layers."""
    return {
        int(key.removeprefix(LAYERS).split('.')[0])
        for key in keys
        if key.startswith(LAYERS)
    }


def _mark_filled(module: nn.Module, given: Collection[str]) -> None:
    """Keep the children's own ``init_weights`` from undoing the loading."""
    for name, child in module.named_children():
        keys = [f'{name}.{key}' for key in child.state_dict()]
        filled = keys and all(key in given for key in keys)
        if filled and isinstance(child, BaseModule):
            child.is_init = True
