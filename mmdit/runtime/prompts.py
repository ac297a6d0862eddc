"""Points, boxes and earlier masks that a person gives, beside words or alone.

Shapes: P points, an image of H0 x W0 pixels, H x W grid of its features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Dimensions of what one query has.
_NDIMS = dict(point_coords=2, point_labels=1, box=1, mask_input=3)
# Characters of a value in a message.
_SHOWN = 100


@dataclass(frozen=True)
class Prompts:
    """Points, a box and an earlier mask of one query, by SAM's names."""

    #: (P, 2): x and y of each point.
    point_coords: np.ndarray | None = None
    #: (P,): 1 inside the mask, 0 outside.
    point_labels: np.ndarray | None = None
    #: (4,): left, top, right, bottom.
    box: np.ndarray | None = None
    #: (1, 4H, 4W): ``low_res_masks`` of an earlier prediction.
    mask_input: np.ndarray | None = None

    def __bool__(self) -> bool:
        given = (self.point_coords, self.box, self.mask_input)
        return any(prompt is not None for prompt in given)

    def __str__(self) -> str:
        number = 0 if self.point_coords is None else len(self.point_coords)
        parts = [f'{number} point{"s" * (number > 1)}'] if number else []
        parts += ['box'] * (self.box is not None)
        parts += ['mask'] * (self.mask_input is not None)
        return ', '.join(parts)

    def check_within(self, size: tuple[int, int], name: str | int) -> None:
        """Reject points and boxes outside an image of (H0, W0) pixels."""
        height, width = size
        given = np.zeros((0, 2))
        if self.point_coords is not None:
            given = self.point_coords
        if self.box is not None:
            given = np.concatenate([given, self.box.reshape(2, 2)])
        outside = ((given < 0) | (given > (width, height))).any(1)
        if outside.any():
            x, y = given[outside][0]
            raise ValueError(
                f'x = {x:g}, y = {y:g} lies outside image {name}, which is '
                f'{width} pixels wide and {height} high; points and boxes are '
                'in pixels of the image as people see it'
            )


def broadcast_prompts(
    number: int,
    point_coords: Any = None,
    point_labels: Any = None,
    box: Any = None,
    mask_input: Any = None,
) -> list[Prompts]:
    """Return the prompts of each of ``number`` queries.

    Args:
        number: How many queries there are.
        point_coords: (P, 2) for the only query; or a list with such an array,
            or None, for each.
        point_labels: (P,), or a list, likewise.
        box: (4,), or a list, likewise.
        mask_input: (1, 4H, 4W) logits, or a list, likewise.
    """
    given = (point_coords, point_labels, box, mask_input)
    kinds = [
        _entries(name, value, number)
        for name, value in zip(_NDIMS, given, strict=True)
    ]
    return [
        Prompts(*_as_points(coords, labels), _as_box(corners), _as_mask(mask))
        for coords, labels, corners, mask in zip(*kinds, strict=True)
    ]


def _entries(name: str, given: Any, number: int) -> Sequence:
    """Return one entry of a kind for each query."""
    if given is None:
        return [None] * number
    # NumPy would read None as a number, NaN.
    has_none = isinstance(given, (list, tuple)) and any(
        entry is None for entry in given
    )
    is_single = not has_none and _ndim(given) == _NDIMS[name]
    try:
        entries = [given] if is_single else list(given)
    except TypeError as error:
        raise ValueError(
            f'{name}: {str(given)[:_SHOWN]} is not an array of numbers, nor a '
            'list of such'
        ) from error
    if len(entries) != number:
        raise ValueError(
            f'{name} for {len(entries)} of {number} queries; give a list '
            'with an entry for each query, in the order of the predictions, '
            'and None where one has none'
        )
    return entries


def _ndim(given: Any) -> int | None:
    """Return the dimensions of an array or of what lists would make one."""
    try:
        return np.asarray(given, np.float64).ndim
    # Ragged, or numbers beyond float64.
    except (OverflowError, TypeError, ValueError):
        return None


def _as_points(
    coords: Any, labels: Any
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Check points and their labels."""
    if coords is None and labels is None:
        return None, None
    if coords is None or labels is None:
        raise ValueError(
            'point_coords and point_labels belong together, but a query has '
            f'no {"point_coords" if coords is None else "point_labels"}'
        )
    points = _as_numbers('point_coords', coords)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(
            f'point_coords have shape {points.shape}; expected (P, 2): x and '
            'y of each point'
        )
    kinds = _as_numbers('point_labels', labels)
    if kinds.shape != (len(points),):
        raise ValueError(
            f'point_labels have shape {kinds.shape}; expected '
            f'({len(points)},): one label for each of point_coords'
        )
    wrong = sorted(set(kinds) - {0, 1})
    if wrong:
        raise ValueError(
            f'a point has label {wrong[0]:g}; expected 1 for a point inside '
            'the mask, 0 for one outside'
        )
    return points, kinds


def _as_box(given: Any) -> np.ndarray | None:
    """Check left, top, right and bottom."""
    if given is None:
        return None
    box = _as_numbers('a box', given)
    if box.shape != (4,) or (box[:2] > box[2:]).any():
        raise ValueError(
            f'a box is {str(box.tolist())[:_SHOWN]}; expected left, top, '
            'right and bottom, in this order'
        )
    return box


def _as_mask(given: Any) -> np.ndarray | None:
    """Check that a mask is one of logits; the model knows its size."""
    if given is None:
        return None
    mask = _as_numbers('mask_input', given)
    if mask.ndim != 3 or len(mask) != 1:
        raise ValueError(
            f'mask_input has shape {mask.shape}; expected (1, h, w), the '
            'low_res_masks of an earlier prediction'
        )
    return mask


def _as_numbers(name: str, given: Any) -> np.ndarray:
    """Turn a prompt into finite numbers."""
    try:
        array = np.asarray(given, np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f'{name}: {str(given)[:_SHOWN]} is not an array of numbers'
        ) from error
    if not np.isfinite(array).all():
        raise ValueError(
            f'{name}: {str(given)[:_SHOWN]} holds what is not finite'
        )
    return array
