"""Folders of images and of PNG masks, with a table of expressions.

Columns: ``image``, ``expression``; ``mask``, by default the image's name with
.png; and ``id`` where pixels hold numbers of objects.
"""

import csv
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..reading.images import near_path, read_size
from ..reading.segmentations import encode_mask, read_labels
from ..reading.values import short
from .shapes import Shape, Shapes, Source, attempt, find_file, texts_of

_COLUMNS = ('image', 'mask', 'id')


def read(source: Path) -> Source:
    """Read a table, or the folder that holds it."""
    path = find_file(source, ['*.csv', '*.tsv'], 'a table of expressions')
    with path.open(encoding='utf-8-sig', newline='') as file:
        header = file.readline()
        mark = max(',;\t', key=header.count)
        file.seek(0)
        rows = list(csv.DictReader(file, delimiter=mark))
    rows = [{_plain(k): v for k, v in row.items()} for row in rows]
    if not rows or 'image' not in rows[0]:
        raise ValueError(
            f'{path} begins with {short(header.strip())}, expected a line of '
            'columns: image, expression, and mask and id where they are needed'
        )
    folders = [path.parent, path.parent / 'images']
    return Source(_shapes(rows, path.parent), folders, True)


def _plain(name: str | None) -> str:
    return (name or '').strip().lower()


def _shapes(rows: list[dict], folder: Path) -> Shapes:
    for line, row in enumerate(rows, 2):
        yield attempt(f'line {line}', _shape, row, folder)


def _shape(name: str, row: dict, folder: Path) -> Shape:
    image = row['image'].strip()
    given = (row.get('mask') or '').strip()
    path = _find(given or f'{Path(image).stem}.png', folder)
    number = (row.get('id') or '').strip()
    return Shape(
        name=name,
        image=image,
        size=read_size(path)[0],
        label='',
        texts=texts_of(row, _COLUMNS),
        mask=_mask(path, int(number) if number else None),
    )


def _find(name: str, folder: Path) -> str:
    """Return the path of a mask."""
    for place in (folder / 'masks', folder):
        if found := near_path(str(place / name)):
            return found
    raise FileNotFoundError(
        f'mask {name} is neither in {folder / "masks"} nor in {folder}'
    )


def _mask(path: str, number: int | None) -> Callable[[int, int], dict]:
    """Return what draws the pixels with a number, or with any but 0."""

    def draw(height: int, width: int) -> dict:
        labels = _labels(path, height, width)
        return encode_mask(labels != 0 if number is None else labels == number)

    return draw


@lru_cache(2)
def _labels(path: str, height: int, width: int) -> np.ndarray:
    return read_labels(path, height, width)
