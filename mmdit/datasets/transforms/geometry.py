"""Geometric changes that mask and expression have to follow."""

import re

import cv2
import mmcv
import numpy as np
from mmcv.transforms import RandomFlip, Resize

from mmdit.registry import TRANSFORMS

_OPPOSITE = {'left': 'right', 'right': 'left'}
_SIDE = re.compile('left|right')
# A side is swapped wherever it stands in a word, since people glue and bend
# it: "bottomright", "2ndfromleft", "leftish".
_WORD = re.compile(r'\b\w*(?:left|right)\w*')
# These name no side.
_NO_SIDE = re.compile(
    r'\w*[bfw]right\w*'  # bright, fright, playwright
    r'|(?:a|al|all|up|out|forth|copy|birth|sp)right\w*'
    r'|right(?:s|o|eous\w*|ful\w*|ly|ness|is[mt]s?)'
    r'|left(?:s|overs?|is[mt]s?)'
    r'|clefts?'
)


@TRANSFORMS.register_module()
class ReferFlip(RandomFlip):
    """Mirror image, mask and the words of the expression.

    Left and right change places, also where they are glued or bent:
    ``leftmost``, ``bottomright``, ``leftish``; but not in ``bright``,
    ``upright`` or ``leftover``. For words of other languages, take the
    transform out of the pipeline (docs/own_data.md).

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


@TRANSFORMS.register_module()
class ReferResize(Resize):
    """Resize the mask with the filter of the image.

    mmcv's ``Resize`` takes the nearest pixel of a mask. The authors' release
    resizes training masks as it does images; here a pixel then belongs to the
    mask where at least half of what the filter sees does. Arguments are those
    of ``Resize``.
    """

    def _resize_seg(self, results: dict) -> None:
        mask = results.get('gt_seg_map')
        if mask is not None:
            shares = mmcv.imresize(
                (mask != 0).astype(np.uint8) * 255,
                results['img_shape'][::-1],
                interpolation=self.interpolation,
                backend=self.backend,
            )
            results['gt_seg_map'] = (shares > 127).astype(np.uint8)


def swap_sides(expression: str) -> str:
    """Swap left and right in a lower-case expression."""
    return _WORD.sub(_swap_word, expression)


def _swap_word(match: re.Match) -> str:
    """Swap the side in a word that names one."""
    if _NO_SIDE.fullmatch(match[0]):
        return match[0]
    return _SIDE.sub(lambda side: _OPPOSITE[side[0]], match[0])
