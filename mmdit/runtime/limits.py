"""How much of an image is read. Importing this is cheap."""

from typing import Any

# Beyond this, masks and probabilities alone take gigabytes.
MAX_PIXELS = 64_000_000
# Files are read up to what four channels of 16 bits take, and some more.
_BYTES_PER_PIXEL, _HEADROOM = 8, 1 << 24
_CHUNK = 1 << 18


def max_bytes(max_pixels: int) -> int:
    """Return the size of the largest file of so many pixels."""
    return _BYTES_PER_PIXEL * max_pixels + _HEADROOM


def read_limited(stream: Any, limit: int) -> bytes:
    """Read all of a binary stream, which must end after ``limit`` bytes."""
    chunks, size = [], 0
    while chunk := stream.read(_CHUNK):
        if not isinstance(chunk, bytes):
            raise TypeError("it gives text; open the file with mode 'rb'")
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise ValueError(
                f'it has more than {limit / 1e6:g} MB, the largest that is '
                'read (max_pixels)'
            )
    return b''.join(chunks)
