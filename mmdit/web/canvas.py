"""A session as pixels: masks, and the points and boxes that made them.

Shapes: an image of H x W pixels, a canvas of H' x W'.
"""

import cv2
import numpy as np

from mmdit.runtime.drawing import tint

from .session import Box, Point, Session

# One for each expression, told apart by the color-blind, too (after Okabe
# and Ito); style.css has the same.
PALETTE = (
    (0, 114, 178),
    (230, 126, 0),
    (0, 158, 115),
    (204, 90, 160),
    (200, 60, 30),
    (60, 165, 220),
    (118, 74, 170),
    (150, 140, 0),
    (130, 80, 50),
    (90, 100, 115),
)
# Longer side of the canvas, in pixels.
MIN_SIDE, MAX_SIDE = 720, 1440
SELECTED, OTHERS = 0.6, 0.4  # opacity
WHITE = (255, 255, 255)
INSIDE, OUTSIDE = (30, 132, 73), (176, 32, 46)


def canvas_scale(size: tuple[int, int]) -> float:
    """Return canvas pixels per pixel of an image of (H, W)."""
    side = max(size)
    return min(max(side, MIN_SIDE), MAX_SIDE) / side


def draw(
    session: Session, threshold: float, selected: str | None = None
) -> np.ndarray:
    """Draw the image, its masks and what was shown for the selected one.

    Args:
        session: What to draw.
        threshold: A pixel belongs to a mask where its probability exceeds
            this.
        selected: Name of the prediction that stands out.

    Returns:
        (H', W', 3) uint8, RGB.
    """
    size = session.pixels.shape[:2]
    scale = canvas_scale(size)
    width, height = (max(1, round(side * scale)) for side in size[::-1])
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    canvas = cv2.resize(session.pixels, (width, height), interpolation=way)[
        ..., ::-1
    ].copy()
    for prediction, color in zip(session.predictions, PALETTE, strict=False):
        assert prediction.probabilities is not None
        # Nearest: the pixels that count are the pixels that show.
        mask = cv2.resize(
            (prediction.probabilities > threshold).astype(np.uint8),
            (width, height),
            interpolation=cv2.INTER_NEAREST,
        )
        is_selected = prediction.name == selected
        tint(canvas, mask, color, SELECTED if is_selected else OTHERS)
    for prediction in session.predictions:
        if prediction.name == selected:
            if prediction.box is not None:
                _draw_box(canvas, prediction.box, scale)
            for point in prediction.points:
                _draw_point(canvas, point, scale)
    return canvas


def _draw_box(canvas: np.ndarray, box: Box, scale: float) -> None:
    """Draw a frame that shows on every color."""
    left, top, right, bottom = (round(side * scale) for side in box)
    for color, thick in ((WHITE, 5), (INSIDE, 2)):
        cv2.rectangle(canvas, (left, top), (right, bottom), color, thick)


def _draw_point(canvas: np.ndarray, point: Point, scale: float) -> None:
    """Draw a disc with a plus or a minus, whose form tells them apart."""
    x, y, label = point
    center = round(x * scale), round(y * scale)
    radius = max(6, round(max(canvas.shape[:2]) / 80))
    color = INSIDE if label else OUTSIDE
    cv2.circle(canvas, center, radius + 2, WHITE, -1, cv2.LINE_AA)
    cv2.circle(canvas, center, radius, color, -1, cv2.LINE_AA)
    arm, thick = round(radius * 0.55), max(2, radius // 4)
    left, right = (center[0] - arm, center[1]), (center[0] + arm, center[1])
    cv2.line(canvas, left, right, WHITE, thick)
    if label:
        top, low = (center[0], center[1] - arm), (center[0], center[1] + arm)
        cv2.line(canvas, top, low, WHITE, thick)
