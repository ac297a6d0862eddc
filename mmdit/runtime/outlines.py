"""Outlines of masks: polygons with holes."""

from collections import defaultdict

import cv2
import numpy as np

# Steps along the edges of pixels, (dx, dy), with the mask on their right:
# east, south, west, north.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def trace(mask: np.ndarray) -> list[list[list[list[int]]]]:
    """Return the outlines of a mask along the edges of its pixels.

    Drawing them gives the mask again, and they enclose its area exactly.

    Args:
        mask: (H, W), other than 0 inside.

    Returns:
        Polygons as GeoJSON's MultiPolygon has them: of each the outer ring
        and then its holes; a ring is a list of corners [x, y], the first one
        repeated at the end. (0, 0) is the image's corner at the top left.
        Pixels that touch at a corner only are polygons of their own.
    """
    inside = np.pad(np.asarray(mask) != 0, 1)
    # Where a step starts: (x, y) of a corner, by the step's direction.
    starts: list[set[tuple[int, int]]] = []
    for (dx, dy), corner in zip(
        _STEPS, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True
    ):
        # The neighbor on the left of a step is no part of the mask.
        outside = np.roll(inside, (dx, -dy), (0, 1))
        edges = np.argwhere(inside & ~outside)[:, ::-1] + corner
        starts.append({(x, y) for x, y in edges.tolist()})
    _, labels = cv2.connectedComponents(
        inside.astype(np.uint8), connectivity=4
    )
    found: dict[int, list[list]] = defaultdict(list)
    # The first of a component's edges to the east, by rows, is an outer one.
    for x, y in sorted(starts[0], key=lambda corner: corner[::-1]):
        if (x, y) in starts[0]:
            found[int(labels[y, x])].append(_follow(x, y, starts))
    return [found[label] for label in sorted(found)]


def _follow(x: int, y: int, starts: list[set]) -> list[list[int]]:
    """Take steps off ``starts`` until a ring is closed; return its corners.

    Corners lose the margin of one pixel.
    """
    ring: list[list[int]] = []
    direction, previous, first = 0, -1, (x, y)
    while True:
        starts[direction].discard((x, y))
        if direction != previous:
            ring.append([x - 1, y - 1])
        previous = direction
        x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]
        # To the right first: pixels that touch at a corner stay apart.
        for turned in (1, 0, 3):
            direction = (previous + turned) % 4
            if direction == 0 and (x, y) == first:
                return [*ring, ring[0]]
            if (x, y) in starts[direction]:
                break


def simplify(ring: list[list[int]], tolerance: float) -> list[list[int]]:
    """Leave out corners of a closed ring within ``tolerance`` of the rest."""
    corners = cv2.approxPolyDP(np.array(ring[:-1], np.int32), tolerance, True)
    return corners[:, 0].tolist()
