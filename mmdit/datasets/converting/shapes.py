"""What all annotation tools have in common: outlines with words."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..reading.values import short, to_number

# Of a circle; far less than a pixel of error for any that fits an image.
_CORNERS = 128
# Of RefCOCO's sentences, which are objects.
_SENTENCE_KEYS = ('sent', 'raw', 'sentence', 'caption', 'text')
NO_MASK = 'no mask, but a box, a point or a line'


class LeftOut(ValueError):
    """An annotation that makes no row: what kind of reason, which case."""


class Shape(NamedTuple):
    """An outline, or a part of one.

    Attributes:
        name: What messages call it.
        image: Path of its image, as the annotation has it.
        size: (height, width) of the image that it was drawn on.
        label: Name of its category.
        texts: What else is said of it, by key.
        mask: Returns its segmentation for an image of (height, width).
        image_texts: What is said of the image, by key.
        group: Shapes of one image with equal ones are parts of one object.
        id: Id of the annotation.
    """

    name: str
    image: str
    size: tuple[int, int]
    label: str
    texts: dict[str, list[str]]
    mask: Callable[[int, int], list | dict]
    image_texts: dict[str, list[str]] = {}
    group: Hashable = None
    id: Any = None


Shapes = Iterator[Shape | LeftOut]


class Source(NamedTuple):
    """An export.

    Attributes:
        shapes: What it holds.
        folders: Where its images may lie.
        upright: Whether the tool shows images as their EXIF data tell.
    """

    shapes: Shapes
    folders: Sequence[Path]
    upright: bool


def attempt(name: str, make: Callable, *args: Any) -> Any:
    """Return what ``make`` returns, or why there is nothing."""
    try:
        return make(name, *args)
    except LeftOut as left:
        return left
    # Whatever is missing or of another type than it should be.
    except Exception as error:
        said = str(error) if ' ' in str(error) else repr(error)
        return LeftOut('cannot be read', f'{name}: {said:.200}')


def find_file(source: Path, patterns: Iterable[str], what: str) -> Path:
    """Return the one file of an export that holds the annotations."""
    if source.is_file():
        return source
    if not source.exists():
        raise FileNotFoundError(f'{source} does not exist; expected {what}')
    for pattern in patterns:
        found = sorted(source.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ', '.join(str(path) for path in found[:6])
            raise ValueError(
                f'{source} holds {len(found)} files of annotations; convert '
                f'them one by one: {names}'
            )
    raise FileNotFoundError(
        f'{source} holds no {" or ".join(patterns)}; expected {what}, not '
        'packed in an archive'
    )


def texts_of(entry: dict, leave_out: Iterable[str] = ()) -> dict:
    """Return the values of a dict that are texts, or lists of such."""
    found = {
        str(key): list(_texts(value))
        for key, value in entry.items()
        if key not in leave_out
    }
    return {key: texts for key, texts in found.items() if texts}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip():
            yield ' '.join(value.split())
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, dict):
                part = next((part[k] for k in _SENTENCE_KEYS if k in part), '')
            if isinstance(part, str):
                yield from _texts(part)


def flatten(points: Iterable[Sequence]) -> list[float]:
    """Return corners [[x, y], ...] as COCO's flat list."""
    flat = []
    for point in points:
        x, y = point
        flat += [round(to_number(x), 2), round(to_number(y), 2)]
    return flat


def ellipse(
    x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0
) -> list[float]:
    """Return a polygon around (x, y), turned clockwise on the screen."""
    values = np.array([x, y, radius_x, radius_y, degrees], float)
    if not np.isfinite(values).all() or min(radius_x, radius_y) <= 0:
        raise ValueError(f'ellipse {short(values.tolist())} has no extent')
    along = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    turned = np.deg2rad(degrees)
    wide, high = radius_x * np.cos(along), radius_y * np.sin(along)
    xs = x + wide * np.cos(turned) - high * np.sin(turned)
    ys = y + wide * np.sin(turned) + high * np.cos(turned)
    return flatten(np.stack([xs, ys], 1).tolist())


def paste(
    part: np.ndarray, left: int, top: int, height: int, width: int
) -> np.ndarray:
    """Return the mask of an image, of which only ``part`` is given."""
    bottom, right = top + part.shape[0], left + part.shape[1]
    if min(left, top) < 0 or bottom > height or right > width:
        raise ValueError(
            f'its mask reaches from ({left}, {top}) to ({right}, {bottom}), '
            f'beyond its image of {width} x {height}'
        )
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = part != 0
    return mask
