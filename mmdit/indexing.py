"""Indexes: what one pass over a large file finds, kept for all later ones.

An index is a list of 64-bit numbers. It lies beside its file, as
``.NAME.index``, or, where that folder cannot be written, in ``~/.cache/mmdit``
(``XDG_CACHE_HOME``). Processes map it into memory, which they share.

It begins with ``_HEADER``: of what kind it is, size and time of last change of
the file that it belongs to, a digest of what that holds, then how many numbers
follow, little-endian, and their checksum. An index that is damaged, or of
another state of its file, is made anew. Whoever uses one still checks what it
finds: somebody else may have written both files.
"""

import hashlib
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

#: Adds numbers, (n,) int64, to an index that is being made.
Write = Callable[[np.ndarray], object]

_CHANGED = (
    '{} was changed since its index was made; expected a file that is '
    'complete: start again once it is'
)
_HEADER = struct.Struct('<8s q q 32s q Q')
_NUMBER = np.dtype('<i8')
_CHUNK = 1 << 20
# Files of which each process keeps one open; systems often allow 1024.
_MAX_OPEN = 256


class Stamp(NamedTuple):
    """Size of a file in bytes, and when it was last changed (ns)."""

    size: int
    time: int


class Index(NamedTuple):
    """An index that is open.

    Attributes:
        stamp: The state of the file that it belongs to.
        digest: SHA-256, 32 bytes, of what that file holds; zeros if unknown.
        numbers: (N,) int64, mapped into memory.
    """

    stamp: Stamp
    digest: bytes
    numbers: np.ndarray


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what tells the state of a file."""
    return Stamp(status.st_size, status.st_mtime_ns)


def open_index(
    path: str | Path,
    kind: bytes,
    make: Callable[[Write], bytes],
    digest: Callable[[], bytes] | None = None,
) -> Index:
    """Open the index of a file, and make it if there is none that fits.

    Of several processes one makes it, and the others wait.

    Args:
        path: The file.
        kind: Eight bytes, other ones for each way of making an index.
        make: Called with a function that takes the numbers; returns the
            digest of the file.
        digest: Returns the digest alone. A file of the same size and digest
            keeps its index, whenever it was changed.

    Raises:
        OSError: There is no such file, or no index can be written.
        ValueError: The file was changed meanwhile; and what ``make`` raises.
    """
    path = os.path.abspath(path)
    # What cannot be read is told before anything is made of it.
    with open(path, 'rb') as source:
        stamp = stamp_of(os.fstat(source.fileno()))
    places = _places(path)
    for place in places:
        index = _load(place, kind)
        if index and index.stamp == stamp:
            return index
    failure = None
    for place in places:
        try:
            return _make_at(place, path, stamp, kind, make, digest)
        # It is full, cannot be locked, or is a folder.
        except OSError as error:
            failure = error
    raise OSError(
        f'no index of {path} can be written, neither beside it nor in '
        f'{places[-1].parent} ({failure}); set XDG_CACHE_HOME to the absolute '
        'path of a folder that can be written'
    ) from failure


def _make_at(
    place: Path,
    path: str,
    stamp: Stamp,
    kind: bytes,
    make: Callable[[Write], bytes],
    digest: Callable[[], bytes] | None,
) -> Index:
    """Make an index at a place, unless another process just did."""
    with _locked_part(place) as file:
        index = _load(place, kind)
        if index and index.stamp == stamp:
            return index
        is_same = (
            index is not None
            and digest is not None
            and index.stamp.size == stamp.size
            and index.digest == digest()
        )

        def fill(write: Write) -> bytes:
            if not is_same or index is None:
                return make(write)
            write(index.numbers)
            return index.digest

        _write(file, kind, stamp, fill)
        if stamp_of(os.stat(path)) != stamp:
            raise ValueError(_CHANGED.format(path))
        os.replace(_part_of(place), place)
        made = _load(place, kind)
    if made is None or made.stamp != stamp:
        raise OSError(f'{place}, which was just written, cannot be read back')
    return made


def read_at(path: str, stamp: Stamp, start: int, size: int) -> bytes:
    """Read a part of a file that has an index.

    Args:
        path: The file.
        stamp: Its state, as the index has it.
        start: Where the part begins, in bytes.
        size: How many bytes it has.

    Raises:
        ValueError: The file is in another state, or has no such part.
    """
    # Held, or another thread might close it and open another file.
    file = _open(path, stamp)
    # It may be written into while it is open.
    content = None
    if (
        stamp_of(os.fstat(file.number)) == stamp
        # Somebody may have written an index that asks for terabytes.
        and 0 <= start <= start + size <= stamp.size
    ):
        content = os.pread(file.number, size, start)
    if content is None or len(content) != size:
        raise ValueError(_CHANGED.format(path))
    return content


class _Descriptor:
    """An open file, closed when nobody uses it; processes may share it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


@lru_cache(_MAX_OPEN)
def _open(path: str, stamp: Stamp) -> _Descriptor:
    return _Descriptor(os.open(path, os.O_RDONLY))


def _places(path: str) -> list[Path]:
    """Return where the index of a file may be, the best place first."""
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    name = os.path.basename(path)
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    places = [Path(os.path.dirname(path), f'.{name}.index')]
    # Not in a container whose user has no home.
    if os.path.isabs(cache):
        # File systems allow names of 255 bytes.
        places.append(Path(cache, 'mmdit', 'index', f'{digest}.index'))
    return places


def _load(place: Path, kind: bytes) -> Index | None:
    """Map an index into memory, if there is one that is whole."""
    try:
        with os.fdopen(_open_plain(place, os.O_RDONLY), 'rb') as file:
            header = file.read(_HEADER.size)
            found, size, time, digest, count, checksum = _HEADER.unpack(header)
            expected = _HEADER.size + count * _NUMBER.itemsize
            if found != kind or os.fstat(file.fileno()).st_size != expected:
                return None
            # Not by the map: what was read of it counts as this process's.
            actual = 0
            while chunk := file.read(_CHUNK):
                actual = zlib.crc32(chunk, actual)
            if actual != checksum:
                return None
            numbers = np.memmap(file, _NUMBER, 'r', _HEADER.size, (count,))
    except (OSError, ValueError, struct.error):
        return None
    return Index(Stamp(size, time), digest, numbers)


@contextmanager
def _locked_part(place: Path) -> Iterator[BinaryIO]:
    """Open what is to become an index, for this process alone.

    Yields:
        An empty file that :func:`_part_of` the place names.
    """
    with _lock(_part_of(place)) as file:
        try:
            file.truncate()
            yield file
        finally:
            # By now it may be the part of another process.
            if _is_at(file, _part_of(place)):
                _part_of(place).unlink()


def _part_of(place: Path) -> Path:
    return place.with_name(f'{place.name}.part')


def _lock(path: Path) -> BinaryIO:
    """Create a file, and wait until no other process has it."""
    import fcntl  # of POSIX only

    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        # A link would lead out of this folder, to a file of somebody else.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        file = os.fdopen(_open_plain(path, flags), 'r+b')
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say_that_it_waits(path)
                fcntl.flock(file, fcntl.LOCK_EX)
        # Not all network file systems can.
        except OSError:
            path.unlink(missing_ok=True)
            file.close()
            raise
        # Whoever had it may have given it its last name since.
        if _is_at(file, path):
            return file
        file.close()


def _say_that_it_waits(path: Path) -> None:
    from mmengine.logging import print_log

    print_log(
        f'waiting for another process that writes {path}', logger='current'
    )


def _open_plain(path: Path, flags: int) -> int:
    """Open a file with one name; a pipe, say, would never end."""
    number = os.open(path, flags | os.O_NONBLOCK, 0o644)
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(number)
        raise OSError(f'{path} is not a plain file')
    return number


def _is_at(file: BinaryIO, path: str | Path) -> bool:
    """Tell whether an open file is the one that has this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _write(
    file: BinaryIO,
    kind: bytes,
    stamp: Stamp,
    fill: Callable[[Write], bytes],
) -> None:
    """Write an index, the header last."""
    count = checksum = 0

    def write(numbers: np.ndarray) -> None:
        nonlocal count, checksum
        content = np.ascontiguousarray(numbers, _NUMBER).data.cast('B')
        file.write(content)
        count += len(numbers)
        checksum = zlib.crc32(content, checksum)

    file.write(bytes(_HEADER.size))
    digest = fill(write)
    file.seek(0)
    file.write(_HEADER.pack(kind, *stamp, digest, count, checksum))
    file.flush()
