"""Files in tar shards, read at random: ``shards/000007.tar/0042.jpg``.

Not every file system bears a file for each image. Shards are plain tar files,
such as webdataset writes; an index (``mmdit/indexing.py``) has a hash of each
name, sorted, then where the members begin, their sizes, and their number.
Nothing is ever unpacked: no name in a shard becomes that of a file.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .indexing import Index, Stamp, Write, open_index, read_at, stamp_of

_KIND = b'tar   01'
_SUFFIX = '.tar'
# Of what may be read at once.
_MAX_BYTES = 1 << 30
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
_CURE = 'write it anew, with plain files: tar cf SHARD.tar FILES'


def read_bytes(
    path: str, read: Callable[[str], bytes] = lambda p: Path(p).read_bytes()
) -> bytes:
    """Read a file, in a shard or, by ``read``, anywhere else."""
    content = read_member(path)
    return read(path) if content is None else content


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
    size, last = file.seek(0, os.SEEK_END), -1
    file.seek(0)
    try:
        with tarfile.open(
            fileobj=file, mode='r:', errors='surrogateescape'
        ) as tar:
            while (member := tar.next()) is not None:
                # Or they would all stay in memory.
                tar.members.clear()  # type: ignore[attr-defined]
                start, stop = member.offset_data, _check_member(member)
                # A forged size could lead back to where it was before.
                if not last < start <= stop <= size:
                    name = os.fsencode(member.name)
                    raise ValueError(f'it breaks off in {_show(name)}')
                last = start
                if not member.isdir():
                    yield (
                        _check_name(os.fsencode(member.name)),
                        start,
                        member.size,
                    )
            # The end is a block of zeros; tarfile also stops at damage.
            file.seek(tar.offset)
            is_end = not file.read(tarfile.BLOCKSIZE).strip(b'\0')
    except ValueError:
        raise
    # Whatever tarfile comes up with: of a forged size also OverflowError.
    except Exception:
        is_end = False
    if not is_end:
        raise ValueError('it is no plain tar; is it compressed, or cut?')


def _check_member(member: tarfile.TarInfo) -> int:
    """Return where a plain file or a folder ends; reject all else."""
    name = _show(os.fsencode(member.name))
    if member.sparse is not None:
        raise ValueError(f'{name} in it is sparse')
    if not member.isdir() and member.type not in _PLAIN:
        raise ValueError(
            f'{name} in it is a link, a device or the like (type '
            f'{_show(member.type)})'
        )
    return member.offset_data + member.size


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
