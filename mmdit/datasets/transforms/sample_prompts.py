"""Simulated points and boxes, sampled from the ground truth."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmdit.registry import TRANSFORMS

#: SAM's labels: no point, one outside, one inside, a box's two corners.
PADDING, OUTSIDE, INSIDE, TOP_LEFT, BOTTOM_RIGHT = range(-1, 4)


@TRANSFORMS.register_module()
class SamplePrompts(BaseTransform):
    """Draw one point or one box of the referent, SAM's first prompt.

    Some items may keep their expression only, or their prompt only, so that a
    model learns to use either and both.

    A point is a pixel of the mask, each as likely; a box is the mask's own,
    each coordinate moved by noise (Kirillov et al., Segment Anything, 2023,
    App. A). Sets ``prompt_points``, (2, 2) float32 x and y in pixels of the
    image as it is now, and ``prompt_labels``, (2,) int64: a point and padding,
    a box's corners, or padding twice where there is no prompt. Where a prompt
    stands alone, ``expression`` becomes None. Stands after everything that
    moves pixels, because later transforms do not move the points.

    Args:
        kinds: What to draw from, ``'point'``, ``'box'`` or both.
        random: False takes the mask's innermost pixel or its exact box, for
            testing. Needs a single kind.
        noise: Standard deviation of a box coordinate over the box's side.
        max_noise: The largest move of a box coordinate in pixels.
        only_text: Share of the items without a prompt.
        only_prompts: Share of the items without their expression; a mask
            without pixels has no prompt, and its item keeps the expression.
    """

    def __init__(
        self,
        kinds: Sequence[str] = ('point', 'box'),
        random: bool = True,
        noise: float = 0.1,
        max_noise: float = 20.0,
        only_text: float = 0.0,
        only_prompts: float = 0.0,
    ) -> None:
        kinds = tuple(kinds)
        if not kinds or not set(kinds) <= {'point', 'box'}:
            raise ValueError(
                f"kinds must be among 'point' and 'box', got {kinds}"
            )
        if not random and len(kinds) > 1:
            raise ValueError(
                f'random=False needs a single kind, got {kinds}: set '
                "kinds=('point',) or ('box',)"
            )
        self.kinds = kinds
        self.random = random
        self.noise = noise
        self.max_noise = max_noise
        if min(only_text, only_prompts) < 0 or only_text + only_prompts > 1:
            raise ValueError(
                'only_text and only_prompts must be shares of one whole, got '
                f'{only_text} and {only_prompts}'
            )
        self.only_text = only_text
        self.only_prompts = only_prompts

    def transform(self, results: dict) -> dict:
        """Add the prompt to an item that has ``img`` and ``gt_seg_map``."""
        mask = results['gt_seg_map']
        kind = self.kinds[0]
        if len(self.kinds) > 1:
            kind = self.kinds[np.random.randint(len(self.kinds))]
        has_text, has_prompt = self._draw_parts(mask)
        if not has_text:
            results['expression'] = None
        if not has_prompt:
            points, labels = np.zeros((2, 2)), (PADDING, PADDING)
        elif kind == 'point':
            points, labels = self._point(mask), (INSIDE, PADDING)
        else:
            points, labels = self._box(mask), (TOP_LEFT, BOTTOM_RIGHT)
        # In testing the ground truth keeps its own size, unlike the image.
        height, width = results['img'].shape[:2]
        scale = np.array([width, height]) / mask.shape[::-1]
        # Pixels are named by their index: their centers lie 0.5 further.
        points = (points + 0.5) * scale - 0.5
        results['prompt_points'] = points.astype(np.float32)
        results['prompt_labels'] = np.array(labels, np.int64)
        return results

    def _draw_parts(self, mask: np.ndarray) -> tuple[bool, bool]:
        """Decide whether an item has its expression, and a prompt."""
        if not mask.any():
            return True, False
        if not self.only_text and not self.only_prompts:
            return True, True
        share = np.random.random()
        return share < 1 - self.only_prompts, share >= self.only_text

    def _point(self, mask: np.ndarray) -> np.ndarray:
        """Return a pixel of the mask and padding, (2, 2)."""
        if self.random:
            rows, columns = np.nonzero(mask)
            chosen = np.random.randint(len(rows))
            return np.array([[columns[chosen], rows[chosen]], [0, 0]])
        # A frame of zeros: the border of the image is an edge too.
        depth = cv2.distanceTransform(
            np.pad(mask, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        return np.array([[column, row], [0, 0]])

    def _box(self, mask: np.ndarray) -> np.ndarray:
        """Return the corners of the mask's box, (2, 2)."""
        rows, columns = np.nonzero(mask)
        corners = np.array(
            [[columns.min(), rows.min()], [columns.max(), rows.max()]], float
        )
        if not self.random:
            return corners
        side = corners[1] - corners[0]
        moves = np.random.normal(size=(2, 2)) * self.noise * side
        moves = moves.clip(-self.max_noise, self.max_noise)
        limit = np.array(mask.shape[::-1]) - 1
        return (corners + moves).clip(0, limit)
