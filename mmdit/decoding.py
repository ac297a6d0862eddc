"""Decode images as training does. Nothing here needs torch."""

import cv2
import numpy as np

FLAGS = {
    'color': cv2.IMREAD_COLOR,
    'color_ignore_orientation': (
        cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_COLOR
    ),
}


def decode_image(content: bytes, flag: str) -> np.ndarray | None:
    """Decode an image, None where that fails or it is incomplete.

    Args:
        content: The bytes of a file.
        flag: A key of ``FLAGS``, which are MMCV's names.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    if not content or _is_cut_jpeg(content):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), FLAGS[flag])
    # OpenCV returns None for most defects, and raises for some.
    except cv2.error:
        return None


def _is_cut_jpeg(content: bytes) -> bool:
    """Tell whether a JPEG breaks off, which some decoders paint grey.

    Its last scan (FFDA) must be followed by the end of the image (FFD9),
    which is where the search for a scan starts: a whole file has little left.
    """
    if not content.startswith(b'\xff\xd8'):
        return False
    end = content.rfind(b'\xff\xd9')
    return content.find(b'\xff\xda', max(end, 0)) >= 0


__all__ = ['FLAGS', 'decode_image']
