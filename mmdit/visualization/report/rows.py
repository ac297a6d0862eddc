"""The rows that ``mmdit test --out`` writes, as columns.

Shapes: N expressions (rows).
"""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ITEM_KEYS = ('image_id', 'ref_id', 'ann_id', 'sent_id', 'expression')
_NEEDED = (*_ITEM_KEYS, 'img_path', 'intersection', 'union')
_AREAS = ('height', 'width', 'ground_truth', 'predicted')
_DIGITS = re.compile('[0-9]{1,18}')
_SURROGATE = re.compile('[\ud800-\udfff]')
_MAX_SIDE = 2**20
# Beyond any image, and sums over a million rows stay within 63 bits.
_MAX_PIXELS = _MAX_SIDE**2


@dataclass(frozen=True, eq=False)
class Results:
    """What a model scored, expression by expression.

    Args:
        name: What to call the model.
        items: What identifies each row, as text, by the names of the ids.
        img_paths: Image of each row.
        intersection: (N,) int64, pixels.
        union: (N,) int64, pixels.
        ground_truth: (N,) int64, pixels; None where the rows are older than
            this column, like the two that follow.
        predicted: (N,) int64, predicted pixels.
        area: (N,) int64, pixels of the image.
        generalized: Whether the rows are gRefCOCO's, where an expression
            may be no-target.
    """

    name: str
    items: list[dict[str, str]]
    img_paths: list[str]
    intersection: np.ndarray
    union: np.ndarray
    ground_truth: np.ndarray | None = None
    predicted: np.ndarray | None = None
    area: np.ndarray | None = None
    generalized: bool = False

    def __len__(self) -> int:
        return len(self.items)

    @property
    def expressions(self) -> list[str]:
        """The expression of each row."""
        return [item['expression'] for item in self.items]

    @property
    def iou(self) -> np.ndarray:
        """(N,) IoU, 1 where ground truth and prediction are both empty."""
        empty = self.union == 0
        return np.where(empty, 1.0, self.intersection / (self.union + empty))

    @property
    def no_target(self) -> np.ndarray:
        """(N,) bool, whether an expression has no target in its image."""
        if not self.generalized:
            return np.zeros(len(self), bool)
        assert self.ground_truth is not None
        return self.ground_truth == 0


def read_results(path: str | Path, name: str | None = None) -> Results:
    """Read result rows.

    Args:
        path: A ``.json`` or ``.csv`` file of ``mmdit test --out``.
        name: What to call the model; by default the file's path without
            suffix.

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: Where the file holds no rows or not all that they need.
    """
    path = Path(path)
    rows = _load(path)
    _check(rows, path)

    def column(key: str) -> np.ndarray:
        most = _MAX_SIDE if key in ('height', 'width') else _MAX_PIXELS
        numbers = (
            _pixels(path, n, row, key, most) for n, row in enumerate(rows)
        )
        return np.fromiter(numbers, np.int64, len(rows))

    has_areas = all(key in row for row in rows for key in _AREAS)
    generalized = 'no_target' in rows[0]
    if generalized and not has_areas:
        raise _lacking(path, 1, 'ground_truth')
    return Results(
        name=str(path.with_suffix('')) if name is None else name,
        items=[{key: _text(row[key]) for key in _ITEM_KEYS} for row in rows],
        img_paths=[row['img_path'] for row in rows],
        intersection=column('intersection'),
        union=column('union'),
        ground_truth=column('ground_truth') if has_areas else None,
        predicted=column('predicted') if has_areas else None,
        area=column('height') * column('width') if has_areas else None,
        generalized=generalized,
    )


def check_same_items(one: Results, other: Results) -> None:
    """Raise a ValueError unless row i of both is about the same item."""
    pairs = f'{one.name} and {other.name}'
    if len(one) != len(other):
        raise ValueError(
            f'{pairs} cannot be compared: they have {len(one)} and '
            f'{len(other)} rows; score both models on the same split'
        )
    for number, (a, b) in enumerate(zip(one.items, other.items, strict=True)):
        for key in _ITEM_KEYS:
            if a[key] != b[key]:
                raise ValueError(
                    f'{pairs} cannot be compared: {key} of row {number} is '
                    f'{a[key]!r} and {b[key]!r}; score both models on the '
                    'same split, in the order of the data set'
                )
    for what in ('ground_truth', 'area'):
        a_pixels, b_pixels = getattr(one, what), getattr(other, what)
        if a_pixels is None or b_pixels is None:
            continue
        (differ,) = np.nonzero(a_pixels != b_pixels)
        if len(differ):
            row = differ[0]
            raise ValueError(
                f'{pairs} cannot be compared: {what} of row {row} has '
                f'{a_pixels[row]} and {b_pixels[row]} pixels, so their masks '
                'or images are not the same'
            )


def _load(path: Path) -> list[dict]:
    """Read a file's rows."""
    readers: dict[str, Callable] = {
        '.json': json.load,
        '.csv': lambda file: list(csv.DictReader(file)),
    }
    if path.suffix not in readers:
        raise ValueError(
            f'expected a .json or .csv file of mmdit test --out, got {path}'
        )
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            rows = readers[path.suffix](file)
    # csv.Error is no ValueError, nor is what nesting too deep raises.
    except (ValueError, csv.Error, RecursionError) as error:
        raise ValueError(f'{path} cannot be read: {error}') from error
    if not isinstance(rows, list) or not rows:
        raise ValueError(
            f'{path} holds no result rows; write them with mmdit test '
            'CONFIG CHECKPOINT --out FILE'
        )
    return rows


def _check(rows: list[dict], path: Path) -> None:
    """Raise unless each row has what it needs, and counts that can be."""
    for number, row in enumerate(rows):
        for key in _NEEDED:
            if not isinstance(row, dict) or key not in row:
                raise _lacking(path, number, key)
        for key in ('img_path', 'expression'):
            _check_text(path, number, row, key)
        both, union = (
            _pixels(path, number, row, key)
            for key in ('intersection', 'union')
        )
        if both > union:
            raise _impossible(path, number, row)


def _check_text(path: Path, number: int, row: dict, key: str) -> None:
    """Raise unless the page can show a text and find a file by it."""
    text = row[key]
    if not isinstance(text, str) or '\0' in text or _SURROGATE.search(text):
        raise ValueError(
            f'row {number} of {path} has {key} {ascii(text):.60}, expected '
            'text of whole characters'
        )


def _pixels(
    path: Path, number: int, row: dict, key: str, most: int = _MAX_PIXELS
) -> int:
    """Return a number of pixels."""
    value = row[key]
    is_whole = isinstance(value, int) or (
        isinstance(value, str) and _DIGITS.fullmatch(value)
    )
    if is_whole and 0 <= int(value) <= most:
        return int(value)
    if key in ('intersection', 'union'):
        raise _impossible(path, number, row)
    raise ValueError(
        f'row {number} of {path} has {key} {_brief(value)}; expected pixels, '
        f'a whole number from 0 to {most}'
    )


def _impossible(path: Path, number: int, row: dict) -> ValueError:
    """Say that an intersection or union cannot be."""
    return ValueError(
        f'row {number} of {path} has intersection '
        f'{_brief(row["intersection"])} and union {_brief(row["union"])}; '
        'expected pixels, 0 <= intersection <= union'
    )


def _brief(value: object) -> str:
    """Write out a value, were it a number of thousands of digits."""
    if isinstance(value, int) and abs(value) > 10**30:
        return f'an integer of {value.bit_length()} bits'
    return f'{value!a:.60}'


def _lacking(path: Path, number: int, key: str) -> ValueError:
    """Say which column is not there."""
    return ValueError(
        f'row {number} of {path} has no {key!r}; write the rows with '
        'mmdit test CONFIG CHECKPOINT --out FILE'
    )


def _text(value: object) -> str:
    """Return an id as CSV writes it, so that both formats compare."""
    return '' if value is None else str(value)
