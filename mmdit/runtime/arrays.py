"""Pixels in, probabilities out: what surrounds the graphs, in NumPy.

The numbers are those of the test pipeline, of ``ReferDataPreprocessor`` and
of ``ReferringSegmentor.restore``. Nothing here needs torch.

Shapes: H0 x W0 original image, h x w padded input, M masks.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .settings import Settings


@dataclass
class Prepared:
    """An image as the graph takes it, and how to come back."""

    #: (3, h, w) float32.
    image: np.ndarray
    #: Top, left, height and width of what is no padding.
    place: tuple[int, int, int, int]
    #: H0 and W0.
    original: tuple[int, int]


def prepare(pixels: np.ndarray, settings: Settings) -> Prepared:
    """Resize, normalize and pad an image.

    Args:
        pixels: (H0, W0, 3) uint8, BGR.
        settings: Of the exported model.

    Raises:
        ValueError: The image is larger than the input, and the pipeline does
            not resize it.
    """
    original = pixels.shape[0], pixels.shape[1]
    if settings.resize is not None:
        pixels = _resize_pixels(pixels, settings)
    height, width = pixels.shape[:2]
    if height > settings.size[0] or width > settings.size[1]:
        raise ValueError(
            f'an image arrives as {height} x {width} (height x width), which '
            f'does not fit into the {settings.size[0]} x {settings.size[1]} '
            'of this model, whose test pipeline does not resize; make it '
            'smaller'
        )
    if settings.bgr_to_rgb:
        pixels = pixels[..., ::-1]
    values = pixels.transpose(2, 0, 1).astype(np.float32)
    if settings.mean is not None and settings.std is not None:
        values -= np.asarray(settings.mean, np.float32)[:, None, None]
        values /= np.asarray(settings.std, np.float32)[:, None, None]
    top = left = 0
    if settings.pad_center:
        top = (settings.size[0] - height) // 2
        left = (settings.size[1] - width) // 2
    image = np.zeros((3, *settings.size), np.float32)
    image[:, top : top + height, left : left + width] = values
    return Prepared(image, (top, left, height, width), original)


def restore(
    logits: np.ndarray, prepared: Prepared, align_corners: bool
) -> np.ndarray:
    """Bring (M, h, w) logits to the original image, as probabilities.

    Returns:
        (M, H0, W0) float32.
    """
    top, left, height, width = prepared.place
    logits = logits[:, top : top + height, left : left + width]
    logits = resize_bilinear(logits, prepared.original, align_corners)
    # Without overflow on either side.
    smaller = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, smaller) / (1 + smaller)


def resize_bilinear(
    values: np.ndarray, size: tuple[int, int], align_corners: bool
) -> np.ndarray:
    """Resize (M, h, w) to (M, *size), as PyTorch's ``interpolate`` does."""
    for axis, length in ((1, size[0]), (2, size[1])):
        low, high, weight = _sources(values.shape[axis], length, align_corners)
        shape = [1, 1, 1]
        shape[axis] = -1
        weight = weight.reshape(shape)
        values = values.take(low, axis) * (1 - weight) + (
            values.take(high, axis) * weight
        )
    return values


def _sources(
    old: int, new: int, align_corners: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each new place, its two old ones and the second's weight."""
    places = np.arange(new, dtype=np.float64)
    if align_corners:
        places *= (old - 1) / max(new - 1, 1)
    else:
        places = np.maximum((places + 0.5) * (old / new) - 0.5, 0)
    low = places.astype(np.int64)
    high = np.minimum(low + 1, old - 1)
    return low, high, (places - low).astype(np.float32)


def _resize_pixels(pixels: np.ndarray, settings: Settings) -> np.ndarray:
    """Resize as MMCV's ``Resize`` does."""
    assert settings.resize is not None
    height, width = pixels.shape[:2]
    size = tuple(settings.resize)
    if settings.keep_ratio:
        # MMCV takes the larger number for the longer side.
        scale = min(
            max(size) / max(height, width), min(size) / min(height, width)
        )
        size = int(width * scale + 0.5), int(height * scale + 0.5)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
