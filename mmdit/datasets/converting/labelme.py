"""labelme's JSON files, one per image; versions 3 to 6."""

import base64
import math
from collections.abc import Callable
from pathlib import Path

from ..reading.segmentations import decode_labels, encode_mask
from ..reading.values import load_json, short, to_whole
from .shapes import (
    NO_MASK,
    LeftOut,
    Shape,
    Shapes,
    Source,
    attempt,
    ellipse,
    flatten,
    paste,
    texts_of,
)


def read(source: Path) -> Source:
    """Read a file, or all files of a folder and of those in it."""
    if not source.exists():
        raise FileNotFoundError(f'{source} does not exist')
    paths = [source] if source.is_file() else sorted(source.rglob('*.json'))
    if not paths:
        raise FileNotFoundError(f'{source} holds no .json of labelme')
    # Paths of images start from the folder of each file.
    return Source(_shapes(paths), [Path()], True)


def _shapes(paths: list[Path]) -> Shapes:
    for path in paths:
        content = load_json(path)
        if not isinstance(content, dict) or 'shapes' not in content:
            yield LeftOut("no file of labelme, which has 'shapes'", str(path))
            continue
        for number, shape in enumerate(content['shapes']):
            name = f'shape {number} of {path}'
            yield attempt(name, _shape, shape, content, path)


def _shape(name: str, shape: dict, content: dict, path: Path) -> Shape:
    image = str(content['imagePath']).replace('\\', '/')
    size = to_whole(content['imageHeight']), to_whole(content['imageWidth'])
    if not (size[0] and size[1]):
        raise ValueError(f'{path} has no imageHeight and imageWidth')
    group = shape.get('group_id')
    return Shape(
        name=name,
        image=str(path.parent / image),
        size=(size[0], size[1]),
        label=str(shape['label']),
        texts=texts_of(shape, ['label', 'shape_type', 'mask', 'points']),
        mask=_mask(name, shape),
        group=None if group is None else (shape['label'], group),
    )


def _mask(name: str, shape: dict) -> Callable[[int, int], list | dict]:
    """Return what draws a shape."""
    kind, points = shape.get('shape_type') or 'polygon', shape['points']
    if kind == 'polygon':
        return lambda height, width: [flatten(points)]
    if kind == 'circle':
        (x, y), border = points
        radius = math.dist((x, y), border)
        return lambda height, width: [ellipse(x, y, radius, radius)]
    if kind != 'mask':
        raise LeftOut(NO_MASK, f'{name} ({short(kind)})')
    # Its first and last pixel.
    (left, top), (right, bottom) = [map(int, point) for point in points]
    content = base64.b64decode(shape['mask'])

    def draw(height: int, width: int) -> dict:
        sides = bottom - top + 1, right - left + 1
        part = decode_labels(content, 'its mask', *sides)
        return encode_mask(paste(part, left, top, height, width))

    return draw
