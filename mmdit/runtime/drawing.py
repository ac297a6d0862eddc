"""Draw image, expression, ground truth and prediction side by side."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

# On dark and light, and on the red, green, cyan and yellow things that masks
# surround: the line has a dark one on both sides.
TRUTH_COLOR, CASING = (0, 229, 255), (12, 12, 14)
PREDICTION_COLOR = (214, 51, 132)
INK, PAPER = (28, 28, 30), (255, 255, 255)
# Small images are enlarged, so that a person can see and read.
MIN_SIDE = 256
GAP = 8


def draw_comparison(
    image: np.ndarray,
    expression: str,
    ground_truth: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    alpha: float = 0.5,
) -> np.ndarray:
    """Draw one panel each for the image, the ground truth and the prediction.

    Args:
        image: (H, W, 3) uint8, RGB.
        expression: Written above the panels.
        ground_truth: (H, W) bool, or None to leave its panel out.
        prediction: (H, W) bool, or None to leave its panel out.
        alpha: Opacity of the prediction's color; ground truth is an outline.

    Returns:
        (H', W', 3) uint8, RGB.
    """
    scale = max(1.0, MIN_SIDE / max(image.shape[:2]))
    panels, captions = [_enlarge(image, scale)], ['image']
    if ground_truth is not None:
        panels.append(
            _paint(image, ground_truth, TRUTH_COLOR, 0, scale, CASING)
        )
        captions.append('ground truth')
    if prediction is not None:
        panels.append(
            _paint(image, prediction, PREDICTION_COLOR, alpha, scale)
        )
        caption = 'prediction'
        if ground_truth is not None:
            union = np.logical_or(ground_truth, prediction).sum()
            both = np.logical_and(ground_truth, prediction).sum()
            caption += f'   IoU {both / union if union else 1.0:.2f}'
        captions.append(caption)
    return _arrange(panels, captions, expression)


def _enlarge(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize an image by a factor, smoothly."""
    return cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC
    )


def _paint(
    image: np.ndarray,
    mask: np.ndarray,
    color: tuple[int, int, int],
    alpha: float,
    scale: float,
    casing: tuple[int, int, int] | None = None,
) -> np.ndarray:
    """Tint a mask's pixels and trace its outline on the enlarged image."""
    painted = _enlarge(image, scale)
    height, width = painted.shape[:2]
    # Nearest: the pixels that count are the pixels that show.
    big = cv2.resize(
        mask.astype(np.uint8),
        (width, height),
        interpolation=cv2.INTER_NEAREST,
    )
    tint(painted, big, color, alpha, casing)
    return painted


def tint(
    image: np.ndarray,
    mask: np.ndarray,
    color: tuple[int, int, int],
    alpha: float = 0.5,
    casing: tuple[int, int, int] | None = None,
) -> None:
    """Color a mask's pixels and trace its outline, in place.

    Args:
        image: (H, W, 3) uint8, RGB.
        mask: (H, W) uint8, 0 or 1.
        color: RGB.
        alpha: Opacity of the color.
        casing: Color of a line on both sides of the outline, if any.
    """
    levels = np.arange(256)[:, None]
    table = levels * (1 - alpha) + np.array(color) * alpha
    blend = cv2.LUT(image, table.astype(np.uint8)[None])
    cv2.copyTo(blend, mask, image)
    outlines, _ = cv2.findContours(
        mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    thickness = max(1, round(max(image.shape[:2]) / 256))
    if casing is not None:
        thickness *= 2
        cv2.drawContours(image, outlines, -1, casing, 2 * thickness + 1)
    cv2.drawContours(image, outlines, -1, color, thickness)


def overlay_name(img_path: str, sent_id: object) -> str:
    """Name an overlay by its image and its sentence.

    Several expressions of one image must not overwrite each other.
    """
    return f'{Path(img_path).stem}_sent{sent_id}.png'


def panel_box(
    size: tuple[int, int], expression: str, panels: int = 3
) -> tuple[int, int, int, int]:
    """Return where an overlay of :func:`draw_comparison` has its panels.

    Args:
        size: Width and height of the overlay.
        expression: Its expression.
        panels: Number of its panels.

    Returns:
        Left, top, right and bottom of the row of panels, which excludes the
        expression above and the captions below.
    """
    width = (size[0] - GAP) // panels - GAP
    lines, line = _heading(expression, width, panels)
    top = GAP + line * len(lines)
    return GAP, top, size[0] - GAP, size[1] - line - GAP


def _heading(
    expression: str, width: int, panels: int
) -> tuple[list[str], int]:
    """Break the expression for panels of ``width``; also the line height."""
    size = _font_size(width)
    room = panels * (width + GAP) - GAP
    font = ImageFont.load_default(size)
    return _wrap(f'“{expression}”', font, room), size + 6


def _font_size(width: int) -> int:
    """Return the size of the letters above panels of ``width``."""
    return max(14, round(width / 22))


def _arrange(
    panels: list[np.ndarray], captions: list[str], expression: str
) -> np.ndarray:
    """Set the panels in a row below the expression."""
    height, width = panels[0].shape[:2]
    size = _font_size(width)
    font, small = (
        ImageFont.load_default(size),
        ImageFont.load_default(size - 2),
    )
    lines, line = _heading(expression, width, len(panels))
    top = GAP + line * len(lines)
    total = len(panels) * (width + GAP) + GAP
    canvas = Image.new('RGB', (total, top + height + line + GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    for i, text in enumerate(lines):
        draw.text((GAP, GAP // 2 + i * line), text, INK, font)
    for i, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        left = GAP + i * (width + GAP)
        canvas.paste(Image.fromarray(panel), (left, top))
        draw.text((left, top + height + 3), caption, INK, small)
    return np.asarray(canvas)


def _wrap(
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> list[str]:
    """Break text into lines that fit ``width`` pixels."""
    lines = ['']
    for word in text.split():
        longer = f'{lines[-1]} {word}'.strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
