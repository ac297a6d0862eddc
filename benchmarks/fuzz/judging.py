"""What may come of an input, and what is a finding."""

import os
import pickle
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_OWN = f'{ROOT}/mmdit'
CANARY = 'PWNED'
# What a reader may raise, with a message.
DOCUMENTED = (ValueError, TypeError, KeyError, OSError, pickle.UnpicklingError)
# An error is a sentence, not a copy of the file.
MAX_MESSAGE = 2000
_FORBIDDEN = (
    'os.system',
    'os.exec',
    'os.posix_spawn',
    'subprocess.Popen',
    'socket.connect',
    'socket.getaddrinfo',
)


class Escape(BaseException):
    """Something in a file has run code or opened a connection."""


@dataclass(frozen=True)
class Target:
    """A reader, and inputs for it.

    Args:
        path: Where each input is written.
        readers: What reads it; each is called for each input and may return
            or raise one of ``DOCUMENTED``.
        seeds: Valid inputs, and some that were trouble.
        mutate: Makes an input of another.
        names: An error must contain one of these, to say where it is.
        seconds: CPU time that an input may take.
        memory_mb: Memory that an input may take.
    """

    path: Path
    readers: Sequence[Callable[[], Any]]
    seeds: Sequence[bytes]
    mutate: Callable[[bytes, Random], bytes]
    names: tuple[str, ...] = ()
    seconds: float = 2.0
    memory_mb: int = 512
    # Read by the worker only.
    max_bytes: int = field(default=1 << 18)


class Verdict(NamedTuple):
    """What came of an input: ``kind`` is '' where all is well.

    Attributes:
        kind: Of finding.
        place: Where it happened; findings of one kind and place are one.
        detail: The error, and of a finding the end of its traceback.
    """

    kind: str
    place: str
    detail: str


def judge(error: BaseException, names: tuple[str, ...]) -> Verdict:
    """Tell whether an error is one that a reader may raise."""
    place, message, kind = _place(error), str(error), ''
    if isinstance(error, Escape):
        kind = 'escape'
    elif any(isinstance(cause, MemoryError) for cause in _chain(error)):
        kind = 'memory'
    elif not isinstance(error, DOCUMENTED):
        kind = 'undocumented'
    elif not message.strip(' \'"'):
        kind = 'silent'
    elif names and not any(name in message for name in names):
        kind = 'unnamed'
    elif len(message) > MAX_MESSAGE:
        kind = 'long'
    detail = message[:300]
    if kind:
        lines = traceback.format_exception(error, limit=-4)
        detail = ''.join(lines)[-3000:]
    return Verdict(kind, f'{type(error).__name__} at {place}', detail)


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and what it came from."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _place(error: BaseException) -> str:
    """Return file and line where mmdit raised, or called what raised."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [(file, line) for file, line in frames if file.startswith(_OWN)]
    file, line = (own or frames)[-1]
    return f'{os.path.relpath(file, ROOT)}:{line}'


class Watch:
    """Raise ``Escape`` where a reader runs code or opens a connection.

    Code that a file brings along is compiled under a name that is neither of
    a library nor of this checkout. Imports may do as they like: the watch
    begins with ``armed``.
    """

    def __init__(self) -> None:
        paths = {*sysconfig.get_paths().values(), sys.base_prefix}
        self._known = (*paths, str(ROOT), '<')
        self.armed = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple) -> None:
        if not self.armed:
            return
        if event == 'exec':
            name = args[0].co_filename
            if not name.startswith(self._known):
                raise Escape(f'exec of {name}')
        elif event.startswith(_FORBIDDEN):
            raise Escape(f'{event} {args[:2]!r}')
