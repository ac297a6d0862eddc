"""What stands in for numpy and MMEngine while a checkpoint is unpickled.

A pickle of numpy values calls ``numpy.ndarray``, ``numpy.dtype`` and their
``__setstate__`` with whatever the file says, and an array of dtype object is
made of addresses in memory. So the names that MMEngine's checkpoints refer to
lead here instead: to classes that take numbers alone, and exactly as many as
the file brings.
"""

import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer

_NUMBER = re.compile(r'[<>=|]?([?bhilqBHILQefdg]|[biuf]\d{1,2})')


class StandInDtype:
    """``numpy.dtype`` of a kind of number."""

    def __init__(self, code: str, align: Any = False, copy: Any = True):
        if not isinstance(code, str) or not _NUMBER.fullmatch(code):
            raise pickle.UnpicklingError(
                f'GLOBAL numpy.dtype of {code!r}, which is not a number'
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        """Take the byte order; numbers need nothing else."""
        self.dtype = self.dtype.newbyteorder(state[1])


class StandInArray:
    """``numpy.ndarray``, filled by ``__setstate__`` alone."""

    array: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        """Take the numbers of the file, which must be as many as the shape."""
        _, shape, of, fortran, content = state
        self.array = _read(content, of, math.prod(shape)).reshape(
            shape, order='F' if fortran else 'C'
        )


class StandInHistory:
    """MMEngine's ``HistoryBuffer``: two series of numbers and a limit."""

    history: HistoryBuffer

    def __setstate__(self, state: dict) -> None:
        """Take the numbers; its methods are those of the class."""
        logs, counts = (
            state[name].array.reshape(-1)
            for name in ('_log_history', '_count_history')
        )
        self.history = HistoryBuffer(max_length=int(state['max_length']))
        self.history._log_history = logs
        self.history._count_history = counts


def _read(content: bytes, of: StandInDtype, number: int) -> np.ndarray:
    """Read so many numbers; too few or too many are an error."""
    size = number * of.dtype.itemsize
    if not isinstance(content, bytes) or len(content) != size:
        raise pickle.UnpicklingError(
            f'GLOBAL numpy.ndarray of {number} numbers ({size} bytes), but '
            f'the file holds {type(content).__name__} of another length'
        )
    return np.frombuffer(content, of.dtype).copy()


def _reconstruct(owner: type, *_: Any) -> StandInArray:
    """Stand in for numpy's function of this name."""
    if not issubclass(owner, StandInArray):
        raise pickle.UnpicklingError(f'GLOBAL numpy._reconstruct of {owner!r}')
    return owner()


def _scalar(of: StandInDtype, content: bytes) -> Any:
    """Stand in for ``numpy.core.multiarray.scalar``."""
    return _read(content, of, 1)[0]


def _history_method(owner: type, name: str) -> None:
    """Stand in for ``getattr``, which a pickled HistoryBuffer calls."""
    known = isinstance(owner, type) and issubclass(owner, StandInHistory)
    if not known or name.startswith('_'):
        raise pickle.UnpicklingError(
            f'GLOBAL builtins.getattr for {name!r} of {owner!r}'
        )


def _named(target: Callable, path: str) -> Callable:
    """Copy ``target`` so that pickles find it as ``path``."""
    module, _, name = path.rpartition('.')
    if isinstance(target, type):
        return type(name, (target,), dict(__module__=module))

    def call(*args: Any) -> Any:
        return target(*args)

    call.__module__, call.__name__, call.__qualname__ = module, name, name
    return call


# numpy 2 moved two of these; files of either version load with either.
STAND_INS: list = [
    _named(StandInDtype, 'numpy.dtype'),
    _named(StandInArray, 'numpy.ndarray'),
    _named(StandInHistory, 'mmengine.logging.history_buffer.HistoryBuffer'),
    _named(_history_method, 'builtins.getattr'),
    *(
        _named(function, f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for name, function in (
            ('_reconstruct', _reconstruct),
            ('scalar', _scalar),
        )
    ),
]
