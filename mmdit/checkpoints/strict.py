"""Refuse weights that do not fit, by name."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

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


def check_state_dict(
    module: nn.Module, state_dict: dict, prefix: str, *_: Any
) -> None:
    """Raise before a state dict is loaded that does not fit ``module``.

    To be registered with ``register_load_state_dict_pre_hook``; MMEngine's
    own loading calls it too.
    """
    given = {
        key.removeprefix(prefix): value
        for key, value in state_dict.items()
        if key.startswith(prefix)
    }
    lines = find_mismatches(module.state_dict(), given)
    if lines:
        raise ValueError(
            f'the checkpoint does not fit this {type(module).__name__}; test '
            'it with the config that it was trained with (arch, text_encoder '
            'and decode_head must be the same):\n  ' + '\n  '.join(lines)
        )
