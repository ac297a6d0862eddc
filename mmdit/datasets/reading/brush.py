"""Brush masks of Label Studio: runs of bits, as its own tools write them.

The format is that of ``decode_rle`` in label_studio_sdk/converter/brush.py
(2.1.2), by way of https://github.com/thi-ng/umbrella, packages/rle-pack: 32
bits for the number of values, 5 for the bits of a value, 4 times 4 for the
bits of lengths, all but the first less one; then runs: a bit that says
whether one value is repeated, two that choose the bits of the length, the
length less one, and one value, or as many as the length says.
"""

from typing import Any

import numpy as np

from .values import short

_CHANNELS = 4


def decode_brush(rle: Any, height: int, width: int) -> np.ndarray:
    """Return the mask of a brush.

    Args:
        rle: Whole numbers from 0 to 255, of an image of RGBA values.
        height: Height of the image.
        width: Width of the image.

    Returns:
        (height, width) uint8, 0 or 1: where alpha is not 0.

    Raises:
        ValueError: It is broken, or of an image of another size.
    """
    try:
        # Of a number, bytes would make so many of them.
        bits = _Bits(bytes(list(rle)))
    except (TypeError, ValueError):
        raise ValueError(
            f"'rle' is {short(rle)}, expected whole numbers from 0 to 255"
        ) from None
    number, bits_of_value = bits.read(32), bits.read(5) + 1
    bits_of_length = [bits.read(4) + 1 for _ in range(4)]
    if number != height * width * _CHANNELS:
        raise ValueError(
            f"'rle' holds {number} values, expected 4 for each of the "
            f'{height} x {width} pixels (height x width)'
        )
    values, start = np.zeros(number, np.uint8), 0
    while start < number:
        repeats = bits.read(1)
        end = start + 1 + bits.read(bits_of_length[bits.read(2)])
        if end > number:
            raise ValueError("'rle' has a run beyond the end of the image")
        if repeats:
            values[start:end] = bits.read(bits_of_value) & 255
        else:
            read = (bits.read(bits_of_value) & 255 for _ in range(start, end))
            values[start:end] = list(read)
        start = end
    return (values.reshape(height, width, _CHANNELS)[..., 3] > 0).astype(
        np.uint8
    )


class _Bits:
    """Bytes that are read by bits, the upper ones first."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def read(self, size: int) -> int:
        """Return the next ``size`` bits, up to 32, as a number."""
        end = self._at + size
        part = self._content[self._at // 8 : (end + 7) // 8]
        if end > 8 * len(self._content):
            raise ValueError("'rle' breaks off; export the annotations again")
        self._at = end
        shift = -end % 8
        return (int.from_bytes(part, 'big') >> shift) & ((1 << size) - 1)
