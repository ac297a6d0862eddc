"""SAM's weights, in any of their formats, as an initialisation."""

from collections.abc import Iterable

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule, update_init_info
from torch import Tensor, nn

from mmdit.registry import WEIGHT_INITIALIZERS

from .architecture import LAYERS
from .dit import drop_text_layers
from .files import read_checkpoint
from .settings import compare_settings, describe_settings, recorded_settings
from .sources import SOURCES, to_mmdit
from .strict import check_finite, find_mismatches

# What the paper adds to SAM: it starts from its own initialisation.
ADDED_PREFIXES = (
    'text_encoder.',
    'backbone.text_injector.',
    'decode_head.text_proj.',
    'data_preprocessor.',
)
SAM_LAYERS = 2


@WEIGHT_INITIALIZERS.register_module()
class SAMPretrained:
    """Fill a segmentor with SAM's weights, strictly, whatever the format.

    Every tensor of the file must find its place. What the paper adds to SAM
    (:data:`ADDED_PREFIXES`, decoder layers beyond those of the file) may be
    missing where the file is SAM alone; a checkpoint with text must fill
    everything.

    Args:
        checkpoint: A file (``.pth``, ``.bin``, ``.safetensors``), a directory
            as ``transformers`` writes it, or the URL of a file.
        source: 'sam' (Meta's), 'hf-sam' (transformers' ``SamModel``), 'dit'
            (the authors' trained models), 'mmdit' (this project's own), or
            'auto' to tell them apart by their keys.
    """

    def __init__(self, checkpoint: str, source: str = 'auto') -> None:
        self.checkpoint = checkpoint
        self.source = source

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into a :class:`ReferringSegmentor`."""
        checkpoint = read_checkpoint(self.checkpoint)
        source, renamed = to_mmdit(checkpoint['state_dict'], self.source)
        expected = module.state_dict()
        if source == 'dit':
            drop_text_layers(renamed, expected)
        given = renamed.state_dict
        added = _find_added(expected, given, source)
        lines = find_mismatches(expected, given, added)
        if lines:
            raise ValueError(
                f'{self.checkpoint} ({SOURCES[source].title}) does not fit '
                'this model; choose arch of SAMViT (base, large, huge) to '
                'match the checkpoint (sam_vit_b, _l, _h), and the text '
                'parts of the config to match those of the file '
                '(mmdit convert can take them '
                'out):\n  ' + '\n  '.join(lines)
            )
        check_finite(given)
        compare_settings(
            recorded_settings(checkpoint),
            describe_settings(module),
            trains_on=True,
        )
        with torch.no_grad():
            for key, value in given.items():
                expected[key].copy_(value)
        _mark_filled(module, given, self.checkpoint)
        own = [p for p in added if any(k.startswith(p) for k in expected)]
        print_log(
            '; '.join(
                [
                    f'filled {len(given)} of {len(expected)} tensors from '
                    f'{self.checkpoint} ({SOURCES[source].title})',
                    *renamed.describe_dropped(),
                    *(f'{p} starts from its own initialisation' for p in own),
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


def _mark_filled(
    module: nn.Module, given: dict[str, Tensor], checkpoint: str
) -> None:
    """Keep the children's own ``init_weights`` from undoing the loading."""
    if hasattr(module, '_params_init_info'):
        update_init_info(module, init_info=f'loaded from {checkpoint}')
    for name, child in module.named_children():
        keys = [f'{name}.{key}' for key in child.state_dict()]
        filled = keys and all(key in given for key in keys)
        if filled and isinstance(child, BaseModule):
            child.is_init = True
