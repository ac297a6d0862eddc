"""What image files say before they are decoded, and where they may lie."""

import os
import unicodedata
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image

from .segmentations import MAX_PIXELS

_EXIF_ORIENTATION = 0x0112
_CURE = (
    'so masks drawn on what viewers show do not fit it: set turn_by_exif=True '
    'of LoadReferImage'
)
# By EXIF orientation, what messages say of an image.
TURNED = {
    number: f'is turned by viewers (EXIF orientation {number}), {_CURE}'
    for number in range(2, 9)
}


def read_orientation(content: bytes, name: str) -> int:
    """Return how viewers turn an image: its EXIF orientation, 1 to 8.

    Raises:
        ValueError: Where it has too many pixels to be decoded.
    """
    try:
        image = Image.open(BytesIO(content))
        pixels = image.width * image.height
        size = f'{image.width} x {image.height}'
        turned = image.getexif().get(_EXIF_ORIENTATION)
    except Image.DecompressionBombError:
        pixels, size, turned = MAX_PIXELS + 1, 'too many', 1
    # Pillow need not know all that OpenCV can decode, and raises all sorts of
    # errors at damaged files.
    except Exception:
        return 1
    if pixels > MAX_PIXELS:
        raise ValueError(
            f'{name} has {size} pixels, expected at most {MAX_PIXELS:,}; make '
            'it and its masks smaller'
        )
    return turned if turned in TURNED else 1


def read_size(path: str) -> tuple[tuple[int, int], int]:
    """Return (height, width) of an image as stored, and its orientation."""
    with open(path, 'rb') as file:
        content = file.read()
    turned = read_orientation(content, path)
    try:
        with Image.open(BytesIO(content)) as image:
            return (image.height, image.width), turned
    # As above.
    except Exception as error:
        raise ValueError(
            f'{path} is not an image that can be read ({error!s:.99}); save '
            'it as JPEG or PNG'
        ) from error


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an (H, W, 3) image as viewers do."""
    if orientation > 4:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def near_path(path: str) -> str:
    """Return the path of a file whose name differs in writing only.

    By upper and lower case, backslashes, or how accents are encoded; empty
    if there is none.
    """
    if '://' in path:
        return ''
    found = os.sep if os.path.isabs(path) else ''
    for part in path.replace('\\', '/').split('/'):
        exact = os.path.join(found, part)
        if not part or part in ('.', '..') or os.path.exists(exact):
            found = exact if part else found
            continue
        name = _names(found or '.').get(_plain(part))
        if name is None:
            return ''
        found = os.path.join(found, name)
    return found if os.path.isfile(found) else ''


@lru_cache(4)
def _names(folder: str) -> dict[str, str]:
    """Return the names in a folder by what is alike in them."""
    try:
        return {_plain(name): name for name in os.listdir(folder)}
    except OSError:
        return {}


def _plain(name: str) -> str:
    return unicodedata.normalize('NFC', name).casefold()
