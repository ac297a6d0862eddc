"""Files in tar shards, read at random: ``shards/000007.tar/0042.jpg``.

Not every file system bears a file for each image. Shards are plain tar files,
such as webdataset writes; an index (``mmdit/indexing.py``) has a hash of each
name, sorted, then where the members begin, their sizes, and their number.
Nothing is ever unpacked: no name in a shard becomes that of a file.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache, partial
from typing import BinaryIO

import numpy as np

from .indexing import Index, Stamp, Write, open_index, read_at, stamp_of

_KIND = b'tar   01'
_SUFFIX = '.tar'
_BLOCK = 512
# Of a name; and of what may be read at once.
_MAX_NAME = 1 << 16
_MAX_BYTES = 1 << 30
_CURE = 'write it anew, with plain files: tar cf SHARD.tar FILES'


def read_member(path: str) -> bytes | None:
    """Read a file of a shard.

    Args:
        path: Path of the shard and, after a slash, name of the file in it.

    Returns:
        Its bytes, or None if no part of the path is a shard.

    Raises:
        FileNotFoundError: The shard has no such file.
        ValueError: The shard is damaged, or holds something else than plain
            files and folders; or the file is larger than 1 GiB.
    """
    found = find_member(path)
    if found is None:
        return None
    shard, stamp, start, size = found
    if size > _MAX_BYTES:
        raise ValueError(
            f'{path} has {size:,} bytes, expected at most {_MAX_BYTES:,}'
        )
    return read_at(shard, stamp, start, size)


def find_member(path: str) -> tuple[str, Stamp, int, int] | None:
    """Find a file of a shard; as :func:`read_member`.

    Returns:
        Path and state of the shard, where the file begins, and its size; None
        if no part of the path is a shard.
    """
    end = path.find(f'{_SUFFIX}/')
    while end >= 0:
        end += len(_SUFFIX)
        shard, name = path[:end], path[end + 1 :]
        try:
            status = os.stat(shard)
        except (OSError, ValueError):
            return None
        if stat.S_ISREG(status.st_mode):
            stamp = stamp_of(status)
            start, size = _look_up(_open(shard, stamp), name, path)
            return shard, stamp, start, size
        end = path.find(f'{_SUFFIX}/', end)
    return None


@lru_cache(256)
def _open(shard: str, stamp: Stamp) -> Index:
    return open_index(shard, _KIND, partial(_make, shard))


def _look_up(index: Index, name: str, path: str) -> tuple[int, int]:
    """Return where a member begins, and its size."""
    numbers = np.asarray(index.numbers)[:-1]
    if len(numbers) % 3:
        raise ValueError(f'the index of the shard of {path} is damaged')
    hashes, starts, sizes = numbers.reshape(3, -1)
    wanted = _hash(name.encode('utf-8', 'surrogatepass'))
    i = int(np.searchsorted(hashes, wanted))
    if i == len(hashes) or hashes[i] != wanted:
        raise FileNotFoundError(f'{path} does not exist in its shard')
    return int(starts[i]), int(sizes[i])


def _hash(name: bytes) -> int:
    """Return 64 bits of a name, as a signed number."""
    digest = hashlib.sha256(name).digest()
    return int.from_bytes(digest[:8], 'little', signed=True)


def _make(shard: str, write: Write) -> bytes:
    """Write the index of a shard; its digest is left open."""
    found = {}
    with open(shard, 'rb') as file:
        try:
            for name, start, size in _find_members(file):
                key = _hash(name)
                if key in found:
                    raise ValueError(f'it holds {_show(name)} twice')
                found[key] = start, size
        except ValueError as error:
            raise ValueError(
                f'{shard} is not a shard of images: {error}; {_CURE}'
            ) from error
    keys = sorted(found)
    write(np.array(keys, np.int64))
    write(np.array([found[key] for key in keys], np.int64).T.reshape(-1))
    write(np.array([len(keys)]))
    return bytes(32)


def _find_members(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, beginning and size of each file in a plain tar."""
    end = file.seek(0, os.SEEK_END)
    position, long_name = 0, b''
    while position < end:
        file.seek(position)
        header = file.read(_BLOCK)
        if not header.strip(b'\0'):
            return
        size, kind = _read_size(header), header[156:157]
        start = position + _BLOCK
        position = start + -(-size // _BLOCK) * _BLOCK
        name = long_name or _read_name(header)
        if start + size > end:
            raise ValueError(f'it breaks off in {_show(name)}')
        if kind in (b'x', b'L'):
            if size > _MAX_NAME:
                raise ValueError(f'a name of {size:,} bytes')
            content = file.read(size)
            long_name = (
                content.rstrip(b'\0')
                if kind == b'L'
                else _read_pax(content) or long_name
            )
            continue
        long_name = b''
        is_folder = kind == b'5' or name.endswith(b'/')
        if kind in (b'0', b'\0') and not is_folder:
            yield _check_name(name), start, size
        # What holds for all members has none of its own.
        elif not is_folder and kind != b'g':
            raise ValueError(
                f'{_show(name)} in it is a link, a device or the like (type '
                f'{_show(kind)})'
            )


def _read_size(header: bytes) -> int:
    """Return the size that a header gives, once the header is sound."""
    fields = header[148:156].strip(b' \0'), header[124:136].strip(b' \0')
    actual = sum(header[:148]) + sum(header[156:]) + 8 * ord(' ')
    # int() alone would take signs and underscores.
    if len(header) == _BLOCK and all(map(bytes.isdigit, fields)):
        with suppress(ValueError):
            expected, size = (int(field, 8) for field in fields)
            if expected == actual:
                return size
    raise ValueError('it is no plain tar; is it compressed, or cut?')


def _read_name(header: bytes) -> bytes:
    name, prefix = (
        part.split(b'\0')[0] for part in (header[:100], header[345:500])
    )
    is_posix = header[257:263] == b'ustar\0'
    return b'/'.join((prefix, name)) if prefix and is_posix else name


def _read_pax(content: bytes) -> bytes:
    """Return the name that records of POSIX's extended header give, if any."""
    name = b''
    while content:
        length = content.split(b' ')[0]
        # What follows the number of its bytes: "27 path=images/0042.jpg".
        is_number = length.isdigit() and len(length) < 7
        if not is_number or not 0 < int(length) <= len(content):
            raise ValueError('a damaged header')
        record = content[len(length) + 1 : int(length)].rstrip(b'\n')
        content = content[int(length) :]
        key, _, value = record.partition(b'=')
        if key == b'path':
            name = value
        elif key == b'size' or key.startswith(b'GNU.sparse'):
            raise ValueError('it holds a sparse file, or one of over 8 GB')
    return name


def _check_name(name: bytes) -> bytes:
    """Return the name of a member, without ``./`` before it."""
    name = name.removeprefix(b'./')
    parts = name.split(b'/')
    if not name or b'\0' in name or b'' in parts or b'..' in parts:
        raise ValueError(
            f'{_show(name)} in it is no name of a file below a folder'
        )
    return name


def _show(name: bytes) -> str:
    return ascii(name[:80].decode('utf-8', 'replace'))
