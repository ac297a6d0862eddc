"""What comes back for an expression.

Plain NumPy: the same for any runtime that computes probabilities.
"""

from numbers import Real

import numpy as np
from pycocotools import mask as coco_mask

# Characters of a value in a message.
_SHOWN = 100


def make_prediction(
    image: str | int,
    expression: str | None,
    probabilities: np.ndarray,
    threshold: float,
) -> dict:
    """Turn probabilities into the prediction for an expression.

    Args:
        image: Path of the image, or its place in the list of images.
        expression: The expression, None without words.
        probabilities: (H, W) float32, at the size of the image.
        threshold: A pixel belongs to the mask if it exceeds this.

    Returns:
        ``image`` and ``expression``;
        ``mask``, (H, W) bool;
        ``rle``, the same as COCO's compressed RLE;
        ``box``, the first column and row and the last column and row of the
        mask, or None if it is empty;
        ``score``, the mean probability of the mask's pixels, 0 if it is empty.

    Raises:
        ValueError: The probabilities are not numbers.
    """
    if not np.isfinite(probabilities.sum(dtype=float)):
        raise ValueError(
            f'{image}: the model gives probabilities that are not numbers '
            '(NaN); its weights are damaged, or training diverged'
        )
    mask = probabilities > check_threshold(threshold)
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(
        image=image,
        expression=expression,
        mask=mask,
        rle=dict(size=list(rle['size']), counts=rle['counts'].decode()),
        box=_find_box(mask),
        score=_score(mask, probabilities),
    )


def check_threshold(threshold: float) -> float:
    """Return a threshold that probabilities can exceed."""
    if not isinstance(threshold, Real) or not 0 <= threshold < 1:
        raise ValueError(
            'threshold must be a probability from 0 to below 1, got '
            f'{str(threshold)[:_SHOWN]}'
        )
    return threshold


def _score(mask: np.ndarray, probabilities: np.ndarray) -> float:
    return float(probabilities[mask].mean(dtype=float)) if mask.any() else 0.0


def _find_box(mask: np.ndarray) -> list[int] | None:
    """Return (left, top, right, bottom) of a mask, all within it."""
    columns, rows = mask.any(0).nonzero()[0], mask.any(1).nonzero()[0]
    if not len(columns):
        return None
    return [int(i) for i in (columns[0], rows[0], columns[-1], rows[-1])]
