"""Parts of files that are being downloaded, kept until they are whole."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class Part:
    """A file that is not whole, and a note on what it is a part of.

    Args:
        path: Where it is.
        file: The same, open for appending.
        is_shared: Whether a later call may go on with it.
    """

    def __init__(self, path: Path, file: BinaryIO, is_shared: bool) -> None:
        self.path = path
        self.file = file
        self._is_shared = is_shared
        self._note = path.with_name(f'{path.name}.of')

    def size(self) -> int:
        """Return the bytes that are there."""
        return self.file.seek(0, os.SEEK_END)

    def version(self, url: str) -> str | None:
        """Return which version of a URL's file it is of, None if unknown."""
        try:
            noted, _, version = self._note.read_text('utf-8').partition('\n')
        except (OSError, ValueError):
            return None
        return version if noted == url else None

    def begin(self, url: str, version: str | None) -> None:
        """Empty it, and note what it will be a part of."""
        self.forget()
        self.file.seek(0)
        self.file.truncate()
        if version:
            self._note.write_text(f'{url}\n{version}', 'utf-8')

    def forget(self) -> None:
        """Make it one that nobody goes on with."""
        self._note.unlink(missing_ok=True)

    def close(self) -> None:
        """Keep what another call can go on with; remove the rest."""
        if not (self._is_shared and self.path.is_file()):
            self.forget()
        if not self._note.is_file():
            self.path.unlink(missing_ok=True)
        self.file.close()


@contextmanager
def open_part(path: Path) -> Iterator[Part]:
    """Open what is to become a file, with what an earlier call has left.

    Processes that fetch the same do not write into one file: the second has
    a part of its own, with which nobody goes on.
    """
    shared = path.with_name(f'.{path.name}.part')
    file = shared.open('a+b')
    is_shared = _lock(file, shared)
    if not is_shared:
        file.close()
        own = f'.{path.name}.{os.getpid()}-{time.time_ns()}.part'
        shared = path.with_name(own)
        file = shared.open('a+b')
    part = Part(shared, file, is_shared)
    try:
        yield part
    finally:
        part.close()


def _lock(file: BinaryIO, path: Path) -> bool:
    """Lock a file that is open, if it is still that of a path."""
    try:
        # Of POSIX only.
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had the lock may have given it its last name.
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (ImportError, OSError):
        return False
