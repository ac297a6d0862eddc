"""What may leave the reader of a checkpoint: tensors and plain data.

Others handle it further: MMEngine parses ``meta['config']`` as Python when it
resumes, its inferencers do so with ``cfg``, and its ``CheckpointHook`` deletes
the files that ``message_hub`` names.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .stand_ins import StandInArray, StandInHistory

MAX_DEPTH = 50
# Configs are code.
_CODE = ('cfg', 'config')
_LEAVES = (
    *(type(None), bool, int, float, complex, str, bytes),
    *(torch.Size, torch.dtype, torch.device, np.bool_, np.number),
)
_TENSORS = (Tensor, torch.nn.Parameter)


def to_plain_data(loaded: Any, max_bytes: int) -> Any:
    """Copy what was read, without what is neither plain data nor a tensor.

    Args:
        loaded: What the unpickler made.
        max_bytes: Size of the file; no tensor can be larger.
    """
    plain = _Copier(max_bytes)(loaded, 'the checkpoint', 0)
    if isinstance(plain, dict):
        hub = plain.get('message_hub')
        info = hub.get('runtime_info') if isinstance(hub, dict) else None
        for place in (plain, plain.get('meta'), info):
            if isinstance(place, dict):
                for name in _CODE:
                    place.pop(name, None)
    return plain


class _Copier:
    """Copies nested data; what is there twice is copied once."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.done: dict[int, Any] = {}

    def __call__(self, value: Any, place: str, depth: int) -> Any:
        """Copy ``value``, which ``place`` names."""
        if isinstance(value, _LEAVES):
            return value
        if id(value) not in self.done:
            if depth > MAX_DEPTH:
                raise ValueError(
                    f'it nests data deeper than {MAX_DEPTH} levels'
                )
            self.done[id(value)] = self._copy(value, place, depth)
        return self.done[id(value)]

    def _copy(self, value: Any, place: str, depth: int) -> Any:
        """Copy a container or array."""
        kind = type(value)
        if kind in _TENSORS:
            return self._check_tensor(value, place)
        if isinstance(value, StandInArray):
            return value.array
        if isinstance(value, StandInHistory):
            return value.history

        def copy(item: Any, name: object) -> Any:
            return self(item, f'{place}[{name!r}]', depth + 1)

        if kind in (dict, OrderedDict):
            return _copy_dict(value, copy)
        if kind in (list, tuple, set):
            return kind(copy(item, i) for i, item in enumerate(value))
        raise ValueError(
            f'{place} is a {kind.__module__}.{kind.__qualname__}, neither a '
            'tensor nor plain data'
        )

    def _check_tensor(self, value: Tensor, place: str) -> Tensor:
        """Raise for a tensor that claims more numbers than the file has."""
        if value.numel() * value.element_size() > self.max_bytes:
            raise ValueError(
                f'{place} claims shape {tuple(value.shape)}, more than the '
                f'{self.max_bytes} bytes of the file'
            )
        return value


def _copy_dict(value: dict, copy: Callable[[Any, object], Any]) -> dict:
    """Copy a dict, and the versions of a state dict's modules."""
    out = type(value)(
        (copy(key, 'key'), copy(item, key)) for key, item in value.items()
    )
    # The unpickler sets whatever attributes an OrderedDict is given.
    metadata = getattr(value, '_metadata', None)
    if isinstance(metadata, dict):
        out._metadata = copy(metadata, '_metadata')  # type: ignore[attr-defined]
    return out
