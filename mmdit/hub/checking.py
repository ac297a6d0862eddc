"""Whether the config of a folder describes the model of its weights.

The numbers in a ``config.json`` decide how much memory a model takes. The one
beside the weights of that model cannot describe more values than these have
bytes, so that it is built without memory first, and stops there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.modules import module as registration

from mmdit.registry import MODELS

# SAM's largest encoder with BERT has about two thousand.
_MAX_MODULES = 50_000
_SHOWN = 300


class _TooLargeError(Exception):
    """A model has more parts than its weights could fill."""


def check_model(model: dict, config: Path, weights: Path) -> None:
    """Raise unless a model can be built, and is no larger than its weights.

    Args:
        model: What to build.
        config: The file that says so, for messages.
        weights: The file of its weights.

    Raises:
        ValueError: It cannot be built, or is too large.
    """
    reason: BaseException = ValueError()
    # Modules of one's own may not work on the meta device.
    for device in ('meta', 'cpu'):
        try:
            with _bounded(weights.stat().st_size), torch.device(device):
                _build(model)
            return
        except _TooLargeError as error:
            raise ValueError(
                f'{config} describes a model of more than {error}, but '
                f'{weights.name} has {weights.stat().st_size} bytes; both '
                'must be of the same model: download them again'
            ) from error
        # Constructors raise nearly anything at odd arguments.
        except Exception as error:
            reason = error
    raise ValueError(
        f'{config} describes a model that cannot be built '
        f'({type(reason).__name__}: {str(reason)[:_SHOWN]}); write it with '
        'mmdit.hub.save_pretrained, or download it again'
    ) from reason


def _build(model: dict) -> None:
    with DefaultScope.overwrite_default_scope('mmdit'):
        MODELS.build(model)


@contextmanager
def _bounded(max_values: int) -> Iterator[None]:
    """Let nothing be built of more parameter values, or too many modules."""
    values = modules = 0

    def count_values(_: nn.Module, name: str, parameter: Any) -> None:
        nonlocal values
        values += 0 if parameter is None else parameter.numel()
        if values > max_values:
            raise _TooLargeError(f'{max_values} values')

    def count_modules(*_: Any) -> None:
        nonlocal modules
        modules += 1
        if modules > _MAX_MODULES:
            raise _TooLargeError(f'{_MAX_MODULES} modules')

    hooks = [
        registration.register_module_parameter_registration_hook(count_values),
        registration.register_module_module_registration_hook(count_modules),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
