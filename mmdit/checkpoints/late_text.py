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
# What the injectors have for each block, in lists and in rows of offsets.
# Some have none for the first block with text.
_ENTRY = re.compile(r'(projections|layers|attentions|norms)\.(\d+)\.(.+)')
_OFFSETS = 'offsets'
# What all blocks share.
_SHARED = ('projection.', 'adapter.')


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
        ValueError: No text enters this encoder, it enters later, or what its
            injector holds is not what the injectors of the paper have.
    """
    if not any(key.startswith(INJECTOR) for key in state_dict):
        raise ValueError(
            'no text enters the encoder of these weights, so that they need '
            'no change: train a config with first_block from them'
        )
    depth = count_layers(state_dict, 'backbone.blocks.')
    first = settings.get(FIRST_BLOCK, 0)
    if type(first) is not int or not 0 <= first < depth:
        raise ValueError(
            f'{FIRST_BLOCK} of the checkpoint is {first!r}; expected a block '
            f'from 0 to {depth - 1}'
        )
    if not first <= block < depth:
        raise ValueError(
            f'text enters block {first} of the {depth} in these weights; '
            f'expected a block from {first} to {depth - 1} for it to enter '
            f'later, got {block}'
        )
    _check_entries(state_dict, depth - first)
    left_out, found = block - first, {}
    for key, value in state_dict.items():
        name = key.removeprefix(INJECTOR)
        if name == key or name.startswith(_SHARED):
            found[key] = value
        elif match := _ENTRY.fullmatch(name):
            index = int(match[2]) - left_out
            if index >= 0:
                found[f'{INJECTOR}{match[1]}.{index}.{match[3]}'] = value
        else:
            # A file holds the whole memory of a slice.
            found[key] = value[left_out:].clone()
    return found, {**settings, FIRST_BLOCK: block}


def _check_entries(state_dict: Mapping[str, Tensor], blocks: int) -> None:
    """Raise unless an injector has an entry for each block that sees text."""
    entries: dict[str, set[int]] = {}
    for key, value in state_dict.items():
        name = key.removeprefix(INJECTOR)
        if name == key or name.startswith(_SHARED):
            continue
        if match := _ENTRY.fullmatch(name):
            entries.setdefault(match[1], set()).add(int(match[2]))
        elif name == _OFFSETS and value.ndim == 3:
            entries[name] = {*range(len(value))}
        else:
            raise ValueError(
                f'{key} of shape {tuple(value.shape)} belongs to no injector '
                'of the paper: which of its parts are those of single blocks '
                'is not known'
            )
    for name, found in entries.items():
        if found not in ({*range(blocks)}, {*range(blocks - 1)}):
            raise ValueError(
                f'{INJECTOR}{name} has the entries {sorted(found)}; expected '
                f'one for each of {blocks} blocks with text, as '
                f'{FIRST_BLOCK} of the checkpoint says, or one less'
            )
