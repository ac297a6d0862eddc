"""Decode images as training does. Nothing here needs torch."""

from io import BytesIO
from threading import Lock

import cv2
import numpy as np
from PIL import Image

from mmdit.optional import needed_by

FLAGS = {
    'color': cv2.IMREAD_COLOR,
    'color_ignore_orientation': (
        cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_COLOR
    ),
}
# Of Pillow's kinds: those that start a program, or hold no pixels that it
# can read.
_NO_IMAGES = frozenset(('BUFR', 'EPS', 'GRIB', 'HDF5', 'MPEG', 'WMF'))
# Known with or without the package that opens them.
HEIF_SUFFIXES = frozenset(('.heic', '.heif', '.hif'))
# OpenCV forgets how an AVIF is turned, and what is behind transparent pixels
# of a GIF; HEIF it does not know.
_PILLOW_ONLY = frozenset(('AVIF', 'GIF', 'HEIF'))
_PNG = b'\x89PNG\r\n\x1a\n'
_LIMIT = Lock()


def decode_image(content: bytes, flag: str) -> np.ndarray | None:
    """Decode an image, None where that fails or it is incomplete.

    Args:
        content: The bytes of a file.
        flag: A key of ``FLAGS``, which are MMCV's names.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    if not content or _is_cut_jpeg(content) or _is_cut_png(content):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), FLAGS[flag])
    # OpenCV returns None for most defects, and raises for some.
    except cv2.error:
        return None


def decode_upright(content: bytes, image: Image.Image) -> np.ndarray | None:
    """Decode an image as people see it, None where Pillow has to do it.

    Args:
        content: The bytes of a file.
        image: The same, as :func:`open_image` opens it.
    """
    if image.format in _PILLOW_ONLY:
        return None
    return decode_image(content, 'color')


def open_image(content: bytes, name: str) -> Image.Image:
    """Read the header of an image of any size, not its pixels.

    Args:
        content: The bytes of a file.
        name: What errors call it.

    Raises:
        ImportError: It is HEIC, and the package that reads it is missing.
        ValueError: It is not an image, or holds values of an unusual depth.
    """
    Image.init()
    if content[4:8] == b'ftyp' and b'hei' in content[8:64]:
        _register_heif(name)
    try:
        # Pillow has one limit for all; whoever opens compares the size.
        with _LIMIT:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(BytesIO(content), formats=_known())
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    # Pillow raises all sorts of errors at damaged headers.
    except Exception as error:
        raise ValueError(
            f'{name} is not an image that can be read ({len(content)} bytes); '
            'save it as PNG or JPEG'
        ) from error
    check_depth(image, name)
    return image


def check_depth(image: Image.Image, name: str) -> None:
    """Reject a TIFF whose numbers Pillow and OpenCV would not scale."""
    tags = getattr(image, 'tag_v2', {})
    bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))
    if not {*bits} <= {1, 2, 4, 8, 16} or not {*kinds} <= {1, 4}:
        kind = {2: 'signed ', 3: 'floating point '}.get(kinds[0], '')
        raise ValueError(
            f'{name} has {kind}values of {bits[0]} bits; save it with '
            'unsigned values of 8 or 16 bits, as PNG or JPEG'
        )


def image_suffixes() -> set[str]:
    """Return the suffixes of files that :func:`open_image` opens."""
    pairs = Image.registered_extensions().items()
    known = _known()
    return {suffix for suffix, kind in pairs if kind in known}.union(
        HEIF_SUFFIXES
    )


def _known() -> list[str]:
    """Return the kinds of images that are opened."""
    return [kind for kind in Image.OPEN if kind not in _NO_IMAGES]


def _register_heif(name: str) -> None:
    """Let Pillow read HEIC, the photographs of many telephones."""
    with needed_by(f'{name} is HEIC, which', 'mmdit-seg[heif]'):
        import pillow_heif
    if 'HEIF' not in Image.OPEN:
        pillow_heif.register_heif_opener()


def _is_cut_png(content: bytes) -> bool:
    """Tell whether a chunk of a PNG ends behind the file.

    OpenCV reserves the memory that a chunk claims: 1.6 GB for 104 bytes.
    """
    if not content.startswith(_PNG):
        return False
    end = len(_PNG)
    while end + 8 <= len(content):
        # Length, kind, content and checksum.
        end += 12 + int.from_bytes(content[end : end + 4], 'big')
    return end > len(content)


def _is_cut_jpeg(content: bytes) -> bool:
    """Tell whether a JPEG breaks off, which some decoders paint gray.

    Its last scan (FFDA) must be followed by the end of the image (FFD9),
    which is where the search for a scan starts: a whole file has little left.
    """
    if not content.startswith(b'\xff\xd8'):
        return False
    end = content.rfind(b'\xff\xd9')
    return content.find(b'\xff\xda', max(end, 0)) >= 0
