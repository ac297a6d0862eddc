"""The private folder of a run: uploads until they are read, and downloads.

Nothing in it outlives the run, and little in it ten minutes: it goes when the
page stops, and a run that was killed is cleared away by the next start.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir, mkdtemp
from threading import Event, Thread
from time import time

PREFIX = 'mmdit-web-'
MAX_AGE, INTERVAL = 600, 10  # seconds


class RunFolder:
    """Files of visitors, each in a folder with a name that nobody guesses.

    Args:
        path: Where; this user alone may enter it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        self.files = self.path / 'files'
        self.files.mkdir(0o700)

    def new(self) -> Path:
        """Make a folder for one file."""
        return Path(mkdtemp(prefix='', dir=self.files))

    def find(self, name: object) -> Path | None:
        """Return the regular file within this folder of a name, if any.

        The name may come from anybody: what lies elsewhere is not looked at,
        so that the response says nothing about it.
        """
        try:
            lexical = Path(os.path.abspath(name))  # type: ignore[call-overload]
            if not lexical.is_relative_to(self.path):
                return None
            path = lexical.resolve(strict=True)
        # No path at all, none that exists, a null byte, links in a circle.
        except (OSError, RuntimeError, TypeError, ValueError):
            return None
        is_inside = path.is_relative_to(self.path) and path.is_file()
        return path if is_inside else None

    def find_upload(self, name: object) -> Path | None:
        """Return a visitor's file of a name, if there is one."""
        path = self.find(name)
        return path if path and path.is_relative_to(self.files) else None

    def num_bytes(self) -> int:
        """Return the size of all files of visitors."""
        total = 0
        # As opposed to rglob, it takes folders that go meanwhile.
        for place, _, names in os.walk(self.files):
            for name in names:
                with suppress(FileNotFoundError):
                    total += os.lstat(os.path.join(place, name)).st_size
        return total

    def remove(self, path: Path) -> None:
        """Remove a file's folder, as of :meth:`new`."""
        token = path.relative_to(self.files).parts[0]
        rmtree(self.files / token, ignore_errors=True)

    def sweep(self, max_age: float = MAX_AGE) -> None:
        """Remove what is older than a number of seconds."""
        for folder in self.files.iterdir():
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < time() - max_age:
                    self.remove(folder)


@contextmanager
def run_folder() -> Iterator[RunFolder]:
    """Make the folder of a run, keep it swept, and remove it."""
    remove_stale()
    path, lock = _make_locked()
    folder, stop = RunFolder(path), Event()

    def sweep() -> None:
        while not stop.wait(INTERVAL):
            with suppress(OSError):
                folder.sweep()

    Thread(target=sweep, daemon=True).start()
    try:
        yield folder
    finally:
        stop.set()
        rmtree(path, ignore_errors=True)
        os.close(lock)


def remove_stale() -> None:
    """Remove the folders of runs that were killed."""
    for path in Path(gettempdir()).glob(f'{PREFIX}*'):
        with suppress(OSError):
            if path.lstat().st_uid == os.getuid():
                lock = _lock(path)
                rmtree(path, ignore_errors=True)
                os.close(lock)


def _make_locked() -> tuple[Path, int]:
    """Make a folder and lock it, which says that its run lives."""
    while True:
        path = Path(mkdtemp(prefix=PREFIX))
        # Another start may remove it before it is locked.
        with suppress(OSError):
            lock = _lock(path)
            if path.is_dir():
                return path, lock
            os.close(lock)


def _lock(path: Path) -> int:
    """Lock a folder; raise OSError where it is locked, a link or no folder."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        raise
    return number
