"""The cases that a report shows, as images in the page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmdit.runtime.drawing import GAP, PAPER, overlay_name, panel_box
from mmdit.shards import read_bytes

from .rows import Results

MAX_WIDTH = 900
_PANELS = 3


def choose_cases(scores: np.ndarray, number: int, seed: int = 0) -> list[int]:
    """Choose the lowest, the middle and the highest scores, a third each.

    Args:
        scores: (N,), such as IoUs or the differences of two models.
        number: How many to choose at most.
        seed: Seed of the order among equal scores, which would otherwise
            favor the first images.

    Returns:
        Distinct row numbers, in the order of the data set.
    """
    if number >= len(scores):
        return list(range(len(scores)))
    shuffled = np.random.default_rng(seed).permutation(len(scores))
    order = shuffled[np.argsort(scores[shuffled], kind='stable')]
    low, high = (number + 2) // 3, (number + 1) // 3
    middle = number - low - high
    start = (len(order) - middle) // 2
    # The thirds do not meet, because fewer than all are wanted.
    start = min(max(start, low), len(order) - high - middle)
    chosen = [
        *order[:low],
        *order[start : start + middle],
        *order[len(order) - high :],
    ]
    return sorted(int(row) for row in chosen)


def embed_overlays(
    results: Results, rows: Sequence[int], folders: Sequence[Path]
) -> dict[int, str]:
    """Embed overlays that ``mmdit test --show-dir`` wrote.

    Args:
        results: Rows whose overlays the folders hold.
        rows: Which of them to embed.
        folders: Overlays of the model; then, perhaps, those of another, of
            which the panel of the prediction is added.

    Returns:
        Data URI of each row: image, ground truth and predictions side by side.

    Raises:
        FileNotFoundError: Where an image is missing.
    """
    uris = {}
    for row in rows:
        item = results.items[row]
        name = overlay_name(results.img_paths[row], item['sent_id'])
        strips = [
            _cut_panels(_open(folder / name, '--overlays'), item['expression'])
            for folder in folders
        ]
        image = strips[0]
        for strip in strips[1:]:
            image = _append_panel(image, strip)
        uris[row] = encode(image)
    return uris


def embed_images(
    results: Results, rows: Sequence[int], root: Path
) -> dict[int, str]:
    """Embed the images themselves, which lie at ``img_path`` below a root."""
    # A third as wide as three panels.
    return {
        row: encode(
            _open(root / results.img_paths[row], '--images'), MAX_WIDTH // 2
        )
        for row in rows
    }


def encode(image: Image.Image, max_width: int = MAX_WIDTH) -> str:
    """Return an image as a data URI, WebP, no wider than ``max_width``."""
    if image.width > max_width:
        height = max(1, round(image.height * max_width / image.width))
        image = image.resize((max_width, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.convert('RGB').save(file, 'WEBP', quality=82)
    content = base64.b64encode(file.getvalue()).decode()
    return f'data:image/webp;base64,{content}'


def _open(path: Path, option: str) -> Image.Image:
    """Open an image, as its pixels are stored."""
    try:
        with Image.open(io.BytesIO(read_bytes(str(path)))) as image:
            image.load()
            return image.convert('RGB')
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'image {path} does not exist; expected the images of these '
            f'rows under the folder that {option} names'
        ) from error
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f'{path} is not an image: {error}') from error


def _cut_panels(image: Image.Image, expression: str) -> Image.Image:
    """Cut the words off, which the page writes itself."""
    box = panel_box(image.size, expression, _PANELS)
    left, top, right, bottom = box
    fits = (image.width - GAP) % _PANELS == 0 and top < bottom
    if not fits or image.getpixel((left - 1, top - 1)) != PAPER:
        raise ValueError(
            f'an image of {image.width} x {image.height} pixels is not '
            'one that mmdit test --show-dir drew of “'
            f'{expression}”'
        )
    return image.crop((left, top, right, bottom))


def _append_panel(strip: Image.Image, other: Image.Image) -> Image.Image:
    """Add the last panel of another strip to the right."""
    width = (other.width + GAP) // _PANELS - GAP
    panel = other.crop((other.width - width, 0, other.width, other.height))
    canvas = Image.new('RGB', (strip.width + GAP + width, strip.height), PAPER)
    canvas.paste(strip, (0, 0))
    canvas.paste(panel, (strip.width + GAP, 0))
    return canvas
