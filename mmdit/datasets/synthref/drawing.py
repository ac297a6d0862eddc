"""From a scene to pixels, anti-aliased, and to outlines."""

import math

import cv2
import numpy as np

from .scene import SHAPES, Scene, SceneObject

_PAINTS = {
    'red': (214, 40, 45),
    'orange': (247, 127, 20),
    'yellow': (250, 210, 40),
    'green': (40, 150, 70),
    'cyan': (60, 200, 220),
    'blue': (45, 90, 215),
    'purple': (140, 65, 185),
}
_BRIGHT = ('orange', 'yellow', 'cyan')  # paints that need a dark pattern
_SUPERSAMPLING = 4
_EDGE_WIDTH = 0.009  # darker rim, relative to the image side
# Finer on small objects, but still 3 px or more at 64 px.
_PERIODS = {'small': 0.054, 'large': 0.07}
_STRIPE_SHARE = 0.5  # of the period
_DOT_RADIUS = 0.33  # in periods
_SHIFT = 6  # fractional bits of OpenCV's polygon corners


def outline(obj: SceneObject) -> np.ndarray:
    """Return the object's outline, (P, 2) points relative to the side."""
    return np.array(SHAPES[obj.shape]) * obj.radius + np.array(obj.center)


def render(scene: Scene, size: int) -> np.ndarray:
    """Paint a scene.

    Args:
        scene: What to paint.
        size: Image side in pixels.

    Returns:
        (size, size, 3) uint8 image, RGB.
    """
    side = size * _SUPERSAMPLING
    backdrop = np.array(scene.backdrop, np.float32).reshape(3, 3, 3) * 255
    canvas = cv2.resize(backdrop, (side, side), interpolation=cv2.INTER_CUBIC)
    canvas = np.clip(canvas, 0, 255).astype(np.uint8)
    for obj in scene.objects:
        _paint(canvas, obj)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def _paint(canvas: np.ndarray, obj: SceneObject) -> None:
    """Paint one object onto the (side, side, 3) canvas, in place."""
    side = len(canvas)
    # OpenCV's integer coordinates are pixel centers; ours count from corners.
    corners = outline(obj) * side - 0.5
    fixed = np.rint(corners * 2**_SHIFT).astype(np.int32)[None]
    filled = np.zeros((side, side), np.uint8)
    cv2.fillPoly(filled, fixed, 1, shift=_SHIFT)
    rim = np.zeros_like(filled)
    # Half of the line lies outside of the object and is cut off.
    thickness = max(1, round(2 * _EDGE_WIDTH * side))
    cv2.polylines(rim, fixed, True, 1, thickness, shift=_SHIFT)

    low = np.floor(corners.min(0)).astype(int)
    high = np.ceil(corners.max(0)).astype(int) + 1
    box = slice(low[1], high[1]), slice(low[0], high[0])
    x = (np.arange(low[0], high[0]) + 0.5) / side - obj.center[0]
    y = (np.arange(low[1], high[1]) + 0.5) / side - obj.center[1]
    period = _PERIODS[obj.size]
    pattern = _pattern(obj.texture, x[None, :] / period, y[:, None] / period)

    paint = np.array(_PAINTS[obj.color], float)
    ink = paint * 0.25 if obj.color in _BRIGHT else paint * 0.2 + 255 * 0.8
    view, inside, edge = canvas[box], filled[box] > 0, rim[box] > 0
    view[inside] = paint.astype(np.uint8)
    view[inside & pattern] = ink.astype(np.uint8)
    view[inside & edge] = (paint * 0.7).astype(np.uint8)


def _pattern(texture: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where a texture is inked.

    Args:
        texture: One of ``TEXTURES``.
        x: (1, W) offsets from the object's center, in periods.
        y: (H, 1) offsets from the object's center, in periods.

    Returns:
        (H, W) bool.
    """
    if texture == 'striped':
        across = (x + y) / math.sqrt(2)
        return abs(across - np.rint(across)) < _STRIPE_SHARE / 2
    if texture == 'dotted':
        return np.hypot(x - np.rint(x), y - np.rint(y)) < _DOT_RADIUS
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)
