"""Weights of a model whose text enters the encoder later than it did.

Whoever has a model with text in all blocks starts late text from it: little
training is left to do (docs/late_text.md).
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .architecture import INJECTOR, count_layers

#: Where the record of a checkpoint says which block text enters first.
FIRST_BLOCK = 'model.backbone.text_injector.first_block'
# What an injector has per block: entries of lists, and rows of offsets.
_ENTRY = re.compile(rf'({re.escape(INJECTOR)}\w+\.)(\d+)(\..+)')
_OFFSETS = f'{INJECTOR}offsets'


def start_text_at(
    block: int,
    state_dict: Mapping[str, Tensor],
    settings: Mapping[str, Any],
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Leave out what an injector does in the blocks before ``block``.

    The other blocks keep what they had: entries of the injector's lists and
    rows of its ``offsets``, which count from the first block with text.

    Args:
        block: Index of the first encoder block that shall see text.
        state_dict: Weights under mmdit's names.
        settings: What the checkpoint records.

    Returns:
        New weights and settings, those of the same model with
        ``first_block=block``.

    Raises:
        ValueError: No text enters this encoder, or it enters later.
    """
    if not any(key.startswith(INJECTOR) for key in state_dict):
        raise ValueError(
            'no text enters the encoder of these weights, so that they need '
            'no change: train a config with first_block from them'
        )
    depth = count_layers(state_dict, 'backbone.blocks.')
    first = settings.get(FIRST_BLOCK) or 0
    if not first <= block < depth:
        raise ValueError(
            f'text enters block {first} of the {depth} in these weights; '
            f'expected a block from {first} to {depth - 1} for it to enter '
            f'later, got {block}'
        )
    left_out, found = block - first, {}
    for key, value in state_dict.items():
        if match := _ENTRY.fullmatch(key):
            index = int(match[2]) - left_out
            if index >= 0:
                found[f'{match[1]}{index}{match[3]}'] = value
        elif key == _OFFSETS:
            # A file holds the whole memory of a slice.
            found[key] = value[left_out:].clone()
        else:
            found[key] = value
    return found, {**settings, FIRST_BLOCK: block}
