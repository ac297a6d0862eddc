"""Checks of an image and of the masks of its rows."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from ..reading.segmentations import draw_mask, read_labels
from ..transforms.loading import LoadReferImage

# How many pixels a polygon may leave the image: more than rounding.
_TOLERANCE = 1
_EXIF_ORIENTATION = 0x0112


class Finding(NamedTuple):
    """One case of one kind of problem; ``line`` counts from 1."""

    line: int
    kind: str
    case: str


class ImageJob(NamedTuple):
    """An image with the (line, mask, no_target) of its rows."""

    path: str
    rows: list[tuple[int, str | dict | list, bool]]


def check_image(job: ImageJob) -> tuple[list[Finding], list[float]]:
    """Load an image as training does, and draw the masks of its rows.

    Returns:
        The findings, and the share of the image that each mask covers.
    """
    size, problem = _load(job.path)
    findings = [Finding(line, *problem) for line, _, _ in job.rows if problem]
    areas: list[float] = []
    if size is None:
        return findings, areas
    for line, mask, no_target in job.rows:
        area, found = _check_mask(mask, *size, no_target)
        findings += [Finding(line, *problem) for problem in found]
        if area:
            areas.append(area / (size[0] * size[1]))
    return findings, areas


def _load(path: str) -> tuple[tuple[int, int] | None, tuple]:
    """Return (height, width) if it can be read, and (kind, case) if any."""
    try:
        item = LoadReferImage().transform(dict(img_path=path))
    except FileNotFoundError:
        return None, ('missing images', path)
    # Decoders raise all sorts of errors at damaged files.
    except Exception:
        return None, ('unreadable images', f'{path} is no complete image')
    turn = _exif_turn(path)
    problem = ('turned images', f'{path}: EXIF orientation {turn}')
    return item['ori_shape'], problem if turn else ()


def _exif_turn(path: str) -> int:
    """Return how a viewer turns the image, 0 if it does not."""
    try:
        with Image.open(path) as image:
            turn = image.getexif().get(_EXIF_ORIENTATION, 1)
    # What OpenCV can read need not be known to Pillow.
    except Exception:
        return 0
    return 0 if turn == 1 else turn


def _check_mask(
    mask: str | dict | list, height: int, width: int, no_target: bool
) -> tuple[int, list[tuple[str, str]]]:
    """Return the mask's area in pixels and (kind, case) of its problems."""
    found = []
    try:
        if isinstance(mask, str):
            drawn = read_labels(mask, height, width)
            found += _many_values(mask, drawn)
        else:
            drawn = draw_mask(mask, height, width)
    except FileNotFoundError:
        return 0, [('missing masks', str(mask))]
    # pycocotools raises bare Exceptions.
    except Exception as error:
        return 0, [('unusable masks', str(error))]
    area = int(np.count_nonzero(drawn))
    if isinstance(mask, list) and (reach := _outside(mask, height, width)):
        found.append(('polygons outside', reach))
    name = f'{mask} ' if isinstance(mask, str) else ''
    if not area and not no_target:
        found.append(('empty masks', f'{name}0 of {width}x{height} pixels'))
    if area == height * width:
        found.append(('full masks', f'{name}all of {width}x{height} pixels'))
    return area, found


def _many_values(path: str, labels: np.ndarray) -> list[tuple[str, str]]:
    values = np.unique(labels[labels > 0]).tolist()
    if len(values) < 2:
        return []
    case = f'{path} holds {len(values)} values, {values[0]} to {values[-1]}'
    return [('masks of many values', case)]


def _outside(polygons: list, height: int, width: int) -> str:
    """Say how far polygons leave the image, if they do."""
    for axis, size in ((0, width), (1, height)):
        values = [v for polygon in polygons for v in polygon[axis::2]]
        low, high = min(values, default=0), max(values, default=0)
        if low < -_TOLERANCE or high > size + _TOLERANCE:
            name, side = 'xy'[axis], ('width', 'height')[axis]
            return f'{name} from {low:g} to {high:g}, image {side} {size}'
    return ''
