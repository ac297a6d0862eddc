"""The cases that a report shows, as pictures inside of the page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmdit.runtime.drawing import GAP, PAPER, panel_box, picture_name

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
    """Embed pictures that ``mmdit test --show-dir`` wrote.

    Args:
        results: Rows whose pictures the folders hold.
        rows: Which of them to embed.
        folders: Pictures of the model; then, perhaps, those of another, of
            which the panel of the prediction is added.

    Returns:
        Data URI of each row: image, truth and predictions side by side.

    Raises:
        FileNotFoundError: Where a picture is missing.
    """
    uris = {}
    for row in rows:
        item = results.items[row]
        name = picture_name(results.img_paths[row], item['sent_id'])
        strips = [
            _cut_panels(_open(folder / name, '--overlays'), item['expression'])
            for folder in folders
        ]
        picture = strips[0]
        for strip in strips[1:]:
            picture = _append_panel(picture, strip)
        uris[row] = encode(picture)
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


def encode(picture: Image.Image, max_width: int = MAX_WIDTH) -> str:
    """Return a picture as a data URI, WebP, no wider than ``max_width``."""
    if picture.width > max_width:
        height = max(1, round(picture.height * max_width / picture.width))
        picture = picture.resize((max_width, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.convert('RGB').save(file, 'WEBP', quality=82)
    content = base64.b64encode(file.getvalue()).decode()
    return f'data:image/webp;base64,{content}'


def _open(path: Path, option: str) -> Image.Image:
    """Open a picture, as its pixels are stored."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.convert('RGB')
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'picture {path} does not exist; expected the pictures of these '
            f'rows under the folder that {option} names'
        ) from error
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f'{path} is not a picture: {error}') from error


def _cut_panels(picture: Image.Image, expression: str) -> Image.Image:
    """Cut the words off, which the page writes itself."""
    box = panel_box(picture.size, expression, _PANELS)
    left, top, right, bottom = box
    fits = (picture.width - GAP) % _PANELS == 0 and top < bottom
    if not fits or picture.getpixel((left - 1, top - 1)) != PAPER:
        raise ValueError(
            f'a picture of {picture.width} x {picture.height} pixels is not '
            'one that mmdit test --show-dir drew of “'
            f'{expression}”'
        )
    return picture.crop((left, top, right, bottom))


def _append_panel(strip: Image.Image, other: Image.Image) -> Image.Image:
    """Add the last panel of another strip to the right."""
    width = (other.width + GAP) // _PANELS - GAP
    panel = other.crop((other.width - width, 0, other.width, other.height))
    canvas = Image.new('RGB', (strip.width + GAP + width, strip.height), PAPER)
    canvas.paste(strip, (0, 0))
    canvas.paste(panel, (strip.width + GAP, 0))
    return canvas


__all__ = ['choose_cases', 'embed_images', 'embed_overlays', 'encode']
