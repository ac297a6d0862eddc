"""Load pickles of tensors and plain data; refuse whatever could run code.

MMEngine's own checkpoints hold its training history beside tensors:
``HistoryBuffer`` and numpy values. These names are admitted, no others.
"""

import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_REFUSED = re.compile(r'GLOBAL (\S+)')


def load_pickle(path: Path, map_location: Any = 'cpu') -> Any:
    """Read a ``torch.save`` file with ``weights_only=True``."""
    try:
        with _admitted_globals():
            return torch.load(
                path, map_location=map_location, weights_only=True
            )
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        refused = _REFUSED.search(str(error))
        if refused:
            raise ValueError(
                f'{path} is refused: it refers to {refused[1]}, and whatever '
                'is neither a tensor nor plain data could run code while it '
                'is loaded (weights_only). If you trust its origin, save its '
                'state dict alone with torch.save'
            ) from error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f'{path} cannot be read as a checkpoint: its download is '
            f'incomplete or it is another kind of file ({reason[0]})'
        ) from error


def _history_method(owner: type, name: str) -> Callable:
    """Stand in for ``getattr``, which a pickled HistoryBuffer calls."""
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(
            f'GLOBAL builtins.getattr for {name!r} of {owner!r}'
        )
    return getattr(owner, name)


def _named(function: Callable, path: str) -> Callable:
    """Wrap ``function`` so that pickles find it as ``path``."""

    def call(*args: Any) -> Any:
        return function(*args)

    call.__module__, _, call.__name__ = path.rpartition('.')
    call.__qualname__ = call.__name__
    return call


def _make_admitted() -> list:
    """List what MMEngine's checkpoints refer to."""
    rebuild: Any = np.zeros(1).__reduce__()[0]
    scalar: Any = np.float64(0).__reduce__()[0]
    numbers = {type(np.dtype(code)) for code in '?bhilqBHILQefdg'}
    admitted: list = [HistoryBuffer, np.ndarray, np.dtype, *numbers]
    # numpy 2 moved these; files of either version load with either.
    for core in ('numpy.core', 'numpy._core'):
        admitted.append(_named(rebuild, f'{core}.multiarray._reconstruct'))
        admitted.append(_named(scalar, f'{core}.multiarray.scalar'))
    return [*admitted, _named(_history_method, 'builtins.getattr')]


_ADMITTED = _make_admitted()


@contextmanager
def _admitted_globals() -> Iterator[None]:
    """Admit ``_ADMITTED`` in addition to PyTorch's own list, for a while."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(_ADMITTED)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
