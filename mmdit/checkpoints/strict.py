"""Reject weights that do not fit, by name."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .dit import count_text_layers, drop_text_layers
from .sources import SOURCES, find_source, strip_module, to_mmdit

SHOWN = 8


def find_mismatches(
    expected: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    may_miss: Iterable[str] = (),
) -> list[str]:
    """Say what is missing, unknown or of another shape, a line each.

    Args:
        expected: State dict of the model.
        given: State dict to be loaded.
        may_miss: Prefixes of ``expected`` keys that ``given`` need not hold.
    """
    missing = [
        key
        for key in expected
        if key not in given and not key.startswith(tuple(may_miss))
    ]
    unknown = [key for key in given if key not in expected]
    shapes = [
        f'{key} has shape {tuple(given[key].shape)}, expected '
        f'{tuple(expected[key].shape)}'
        for key in given
        if key in expected and given[key].shape != expected[key].shape
    ]
    lines = []
    for what, found in (
        ('missing', missing),
        ('unknown', unknown),
        ('another size', shapes),
    ):
        if found:
            more = f' and {len(found) - SHOWN} more' * (len(found) > SHOWN)
            lines.append(f'{what}: {"; ".join(found[:SHOWN])}{more}')
    return lines


def check_finite(state_dict: Mapping[str, Tensor]) -> None:
    """Raise at the first tensor with NaN or infinity.

    A model with such weights would find nothing, in silence.
    """
    for key, value in state_dict.items():
        if value.is_meta or torch.isfinite(value).all():
            continue
        wrong = int((~torch.isfinite(value)).sum())
        raise ValueError(
            f'{key} of the checkpoint holds NaN or infinity ({wrong} of '
            f'{value.numel()} values): its training diverged; take an '
            'earlier checkpoint'
        )


def adapt_state_dict(
    module: nn.Module, state_dict: dict, prefix: str, *_: Any
) -> None:
    """Rename a foreign state dict, in place, before it is loaded.

    To be registered with ``register_load_state_dict_pre_hook`` before
    :func:`check_state_dict`. PyTorch and MMEngine load from the dict that
    their hooks leave behind, and both load from a copy of the caller's.
    """
    given = strip_module(_below(prefix, state_dict))
    source = find_source(given)
    if source is None:
        return  # left to the strict check, which names the keys
    if source != 'mmdit':
        renamed = to_mmdit(given, source)[1]
        if source == 'dit':
            kept = count_text_layers(module.state_dict())
            drop_text_layers(renamed, kept)
        lines = [
            f'renamed the keys of {SOURCES[source].title}',
            *renamed.describe_dropped(),
        ]
        print_log('; '.join(lines), logger='current')
        given = renamed.state_dict
    for key in [key for key in state_dict if key.startswith(prefix)]:
        del state_dict[key]
    state_dict.update({prefix + key: value for key, value in given.items()})


def check_state_dict(
    module: nn.Module, state_dict: dict, prefix: str, *_: Any
) -> None:
    """Raise before a state dict is loaded that does not fit ``module``.

    To be registered with ``register_load_state_dict_pre_hook``; MMEngine's
    own loading calls it too.
    """
    given = _below(prefix, state_dict)
    lines = find_mismatches(module.state_dict(), given)
    if lines:
        raise ValueError(
            f'the checkpoint does not fit this {type(module).__name__}; load '
            'it with the config that it was trained with (arch, '
            'text_encoder, text_injector and decode_head must be the same). '
            "To start training from SAM's weights, give them to "
            "init_cfg=dict(type='mmdit.SAMPretrained', checkpoint=...) "
            'instead of load_from:\n  ' + '\n  '.join(lines)
        )
    check_finite(given)


def _below(prefix: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the part of a state dict below ``prefix``, without it."""
    return {
        key.removeprefix(prefix): value
        for key, value in state_dict.items()
        if key.startswith(prefix)
    }
