"""Check the bytes of a ``torch.save`` file before it is unpickled.

PyTorch writes a checksum (CRC-32) of every tensor into the file and never
reads it. It also believes what a forged file says of its own size.
"""

import io
import pickletools
import zipfile
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20
# Data that is there twice is stored once, so that few bytes can stand for
# endless data, on which a mere comparison never ends.
MAX_EXPANDED = 10_000_000
_LEGACY_PICKLES = 5
_ZIP = b'PK\3\4'


def check_archive(path: Path) -> None:
    """Raise where a file is damaged, or forged to need more than its size."""
    with path.open('rb') as file:
        # As PyTorch decides; Python's zipfile would look at the end.
        is_archive = file.read(len(_ZIP)) == _ZIP
        file.seek(0)
        if not is_archive:
            # Number, version, system, the data, and the keys of its storages.
            for _ in range(_LEGACY_PICKLES):
                _check_pickle(_Whole(file, path.stat().st_size))
            return
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive, path.stat().st_size)
            for name in archive.namelist():
                _check_sum(archive, name)
                if name.rpartition('/')[2] == 'data.pkl':
                    _check_pickle(io.BytesIO(archive.read(name)))


class _Whole:
    """A file that reserves no memory for more than it holds."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.readline, self.tell = file.readline, file.tell
        self._file, self._size = file, size

    def read(self, size: int) -> bytes:
        """Read so many bytes, or what there is."""
        return self._file.read(min(size, self._size))


def _check_sizes(archive: zipfile.ZipFile, available: int) -> None:
    """Raise if the parts are compressed, or larger than the file."""
    parts = archive.infolist()
    packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if packed or sum(part.file_size for part in parts) > available:
        raise ValueError(
            'its parts are compressed or overlap, as torch.save never writes '
            'them'
        )
    # With something before them, others could see other parts than zipfile.
    if parts and min(part.header_offset for part in parts) > 0:
        raise ValueError('it holds more than one archive')


def _check_sum(archive: zipfile.ZipFile, name: str) -> None:
    """Read a part to its end, where its checksum is compared."""
    try:
        with archive.open(name) as content:
            while content.read(CHUNK):
                pass
    except zipfile.BadZipFile as error:
        raise ValueError(
            f'the bytes of {name} differ from their checksum: the file was '
            'damaged after it was written'
        ) from error


def _check_pickle(file: Any) -> None:
    """Raise if the data of a pickle would be endless once written out."""
    stack: list[int | None] = []  # sizes of what is there; None is a mark
    memo: dict[Any, int] = {}
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name in ('PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'):
            key = len(memo) if argument is None else argument
            memo[key] = stack[-1] or 0
        elif name in ('GET', 'BINGET', 'LONG_BINGET'):
            stack.append(memo[argument])
        elif name == 'MARK':
            stack.append(None)
        elif name == 'GLOBAL' and str(argument).endswith(' bytearray'):
            raise ValueError('GLOBAL bytearray: PyTorch would make any size')
        else:
            size = 1 + _take(stack, opcode.stack_before)
            if size > MAX_EXPANDED:
                raise ValueError('it holds endless data')
            if opcode.stack_after:
                stack.append(size)


def _take(stack: list[int | None], before: list) -> int:
    """Take what an opcode takes; return the size of it all."""
    size = 0
    for kind in reversed(before):
        if kind is pickletools.stackslice:
            while (item := stack.pop()) is not None:
                size += item
        elif kind is not pickletools.markobject:
            size += stack.pop() or 0
    return size
