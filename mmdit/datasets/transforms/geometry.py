"""Geometric changes that the expression has to follow."""

import re

import cv2
import numpy as np
from mmcv.transforms import RandomFlip

from mmdit.registry import TRANSFORMS

_OPPOSITE = {'left': 'right', 'right': 'left'}
# Whole words only: "bright", "upright" and "leftover" name no side.
_SIDE = re.compile(r'\b(left|right)(?=(?:most|hand)?\b)')


@TRANSFORMS.register_module()
class ReferFlip(RandomFlip):
    """Mirror image, mask and the words of the expression.

    Left and right change places, also in ``leftmost``, ``righthand`` and
    ``left-hand``.

    Args:
        prob: Probability of the flip.
        direction: ``'horizontal'`` and nothing else: upside down, objects
            look unlike themselves.
    """

    def __init__(
        self, prob: float = 0.5, direction: str = 'horizontal'
    ) -> None:
        if direction != 'horizontal':
            raise ValueError(
                f'ReferFlip has no words to swap for direction {direction!r}: '
                "set direction='horizontal'"
            )
        if not 0 <= prob <= 1:
            raise ValueError(
                f'prob of ReferFlip must be in [0, 1], got {prob}'
            )
        super().__init__(prob=float(prob), direction=direction)

    def _flip(self, results: dict) -> None:
        image = results['img']
        super()._flip(results)
        # Copies by OpenCV: whoever reads numpy's mirrored views pays more.
        results['img'] = cv2.flip(image, 1)
        results['expression'] = swap_sides(results['expression'])

    def _flip_seg_map(self, seg_map: np.ndarray, direction: str) -> np.ndarray:
        return cv2.flip(seg_map, 1)


def swap_sides(expression: str) -> str:
    """Swap left and right in a lower-case expression."""
    return _SIDE.sub(lambda match: _OPPOSITE[match[1]], expression)
