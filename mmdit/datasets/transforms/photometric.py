"""Changes of color and sharpness, on BGR uint8 images."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmdit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ReferColorJitter(BaseTransform):
    """Jitter brightness, contrast and saturation, in random order.

    Each factor is drawn from [max(0, 1 - x), 1 + x], as in torchvision's
    ``ColorJitter``.

    Args:
        prob: Probability of the change.
        brightness: Range x of the brightness.
        contrast: Range x of the contrast.
        saturation: Range x of the saturation.
    """

    def __init__(
        self,
        prob: float = 0.8,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
    ) -> None:
        _check_prob(prob, self)
        ranges = (brightness, contrast, saturation)
        if min(ranges) < 0:
            raise ValueError(
                'brightness, contrast and saturation of ReferColorJitter must '
                f'not be negative, got {ranges}'
            )
        self.prob = prob
        self.ranges = ranges

    @cache_randomness
    def _draw(self) -> list[tuple[int, float]]:
        """Draw numbers and factors of the adjustments, in their order."""
        if np.random.rand() >= self.prob:
            return []
        return [
            (
                int(i),
                np.random.uniform(
                    max(0.0, 1 - self.ranges[i]), 1 + self.ranges[i]
                ),
            )
            for i in np.random.permutation(len(self.ranges))
        ]

    def transform(self, results: dict) -> dict:
        """Change ``img``."""
        adjust = (adjust_brightness, adjust_contrast, adjust_saturation)
        for i, factor in self._draw():
            results['img'] = adjust[i](results['img'], factor)
        return results


@TRANSFORMS.register_module()
class ReferGaussianBlur(BaseTransform):
    """Blur the image.

    Args:
        prob: Probability of the blur.
        sigma: Range of the standard deviation, in pixels.
    """

    def __init__(
        self, prob: float = 0.5, sigma: Sequence[float] = (0.1, 2.0)
    ) -> None:
        _check_prob(prob, self)
        low, high = sigma
        if not 0 < low <= high:
            raise ValueError(
                'sigma of ReferGaussianBlur must be (low, high) with 0 < low '
                f'<= high, got {tuple(sigma)}'
            )
        self.prob = prob
        self.sigma = (low, high)

    @cache_randomness
    def _draw(self) -> float | None:
        """Draw the standard deviation, None for no blur."""
        if np.random.rand() >= self.prob:
            return None
        return np.random.uniform(*self.sigma)

    def transform(self, results: dict) -> dict:
        """Change ``img``."""
        sigma = self._draw()
        if sigma is not None:
            # Beyond three sigmas a Gaussian is nearly nothing.
            size = 2 * math.ceil(3 * sigma) + 1
            results['img'] = cv2.GaussianBlur(
                results['img'], (size, size), sigma
            )
        return results


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend a BGR image with black."""
    return _map_levels(image, factor, 0.0)


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend a BGR image with the mean of its gray version."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    # A sum of integers, hence exact, and faster than numpy's.
    mean = cv2.sumElems(gray)[0] / gray.size
    return _map_levels(image, factor, (1 - factor) * mean)


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend a BGR image with its gray version."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    gray = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(image, factor, gray, 1 - factor, 0)


def _map_levels(image: np.ndarray, scale: float, shift: float) -> np.ndarray:
    """Return scale * image + shift, saturated: one table look-up a pixel."""
    levels = np.arange(256) * scale + shift
    return cv2.LUT(image, levels.round().clip(0, 255).astype(np.uint8))


def _check_prob(prob: float, owner: BaseTransform) -> None:
    if not 0 <= prob <= 1:
        raise ValueError(
            f'prob of {type(owner).__name__} must be in [0, 1], got {prob}'
        )
