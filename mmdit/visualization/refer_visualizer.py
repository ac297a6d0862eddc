"""Draw image, expression, truth and prediction side by side."""

from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.dist import master_only
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from PIL import Image, ImageDraw, ImageFont

from mmdit.registry import VISUALIZERS

TRUTH_COLOUR = (46, 160, 67)
PREDICTION_COLOUR = (214, 51, 132)
INK, PAPER = (28, 28, 30), (255, 255, 255)
# Small images are enlarged, so that a person can see and read.
MIN_SIDE = 256
GAP = 8


def draw_comparison(
    image: np.ndarray,
    expression: str,
    truth: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    alpha: float = 0.5,
) -> np.ndarray:
    """Draw one panel each for the image, the truth and the prediction.

    Args:
        image: (H, W, 3) uint8, RGB.
        expression: Written above the panels.
        truth: (H, W) bool, or None to leave its panel out.
        prediction: (H, W) bool, or None to leave its panel out.
        alpha: Opacity of a mask's colour.

    Returns:
        (H', W', 3) uint8, RGB.
    """
    scale = max(1.0, MIN_SIDE / max(image.shape[:2]))
    panels, captions = [_enlarge(image, scale)], ['image']
    if truth is not None:
        panels.append(_paint(image, truth, TRUTH_COLOUR, alpha, scale))
        captions.append('truth')
    if prediction is not None:
        panels.append(
            _paint(image, prediction, PREDICTION_COLOUR, alpha, scale)
        )
        caption = 'prediction'
        if truth is not None:
            union = np.logical_or(truth, prediction).sum()
            both = np.logical_and(truth, prediction).sum()
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
    colour: tuple[int, int, int],
    alpha: float,
    scale: float,
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
    inside = big.astype(bool)
    blend = painted[inside] * (1 - alpha) + np.array(colour) * alpha
    painted[inside] = blend.astype(np.uint8)
    outlines, _ = cv2.findContours(
        big, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    thickness = max(1, round(max(height, width) / 256))
    cv2.drawContours(painted, outlines, -1, colour, thickness)
    return painted


def picture_name(img_path: str, sent_id: object) -> str:
    """Name a picture by its image and its sentence.

    Several expressions of one image must not overwrite each other.
    """
    return f'{Path(img_path).stem}_sent{sent_id}.png'


def panel_box(
    size: tuple[int, int], expression: str, panels: int = 3
) -> tuple[int, int, int, int]:
    """Return where a picture of :func:`draw_comparison` has its panels.

    Args:
        size: Width and height of the picture.
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


@VISUALIZERS.register_module()
class ReferVisualizer(SegLocalVisualizer):
    """MMSegmentation's visualizer for one expression and one mask.

    Args:
        name: Name of the instance.
        vis_backends: Where :meth:`add_datasample` stores pictures.
        save_dir: Folder of the backends.
        alpha: Opacity of a mask's colour.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        vis_backends: list[dict] | None = None,
        save_dir: str | None = None,
        alpha: float = 0.5,
    ) -> None:
        super().__init__(
            name,
            vis_backends=vis_backends,
            save_dir=save_dir,
            classes=['background', 'referent'],
            palette=[[0, 0, 0], list(PREDICTION_COLOUR)],
            alpha=alpha,
        )

    def draw(
        self,
        image: np.ndarray,
        data_sample: SegDataSample,
        draw_gt: bool = True,
        draw_pred: bool = True,
    ) -> np.ndarray:
        """Draw a data sample over its (H, W, 3) RGB image."""

        def mask(wanted: bool, field: str) -> np.ndarray | None:
            if not wanted or field not in data_sample:
                return None
            data = getattr(data_sample, field).data
            return data[0].cpu().numpy().astype(bool)

        return draw_comparison(
            image,
            data_sample.expression,
            truth=mask(draw_gt, 'gt_sem_seg'),
            prediction=mask(draw_pred, 'pred_sem_seg'),
            alpha=self.alpha,
        )

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        **kwargs: object,
    ) -> None:
        """Draw a data sample and show, write or store the picture.

        Args:
            name: Name of the picture in the backends.
            image: (H, W, 3) uint8, RGB.
            data_sample: Holds expression, truth and prediction.
            draw_gt: Whether to draw the truth.
            draw_pred: Whether to draw the prediction.
            show: Whether to open a window.
            wait_time: Seconds that the window stays; 0 waits for a key.
            out_file: Where to write the picture; None stores it in the
                backends.
            step: Step of the run that the picture belongs to.
            kwargs: Ignored; MMSegmentation's own options of other tasks.
        """
        if data_sample is not None:
            image = self.draw(image, data_sample, draw_gt, draw_pred)
        if show:
            self.show(image, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(image), out_file)
        elif not show:
            self.add_image(name, image, step)
