"""Reading a JSON-lines file of expressions, every line checked."""

import json
import os
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

FORMAT = 'see docs/own_data.md'
# Beyond any image; pycocotools' memory grows with a polygon's coordinates.
_MAX_COORDINATE = 100_000


class Row(NamedTuple):
    """What one line says, checked.

    Attributes:
        image: Path of the image, as in the file.
        expression: Stripped and in lower case.
        mask: Polygons, an RLE, the path of a PNG as in the file, or nothing.
        no_target: Whether the expression names nothing in the image.
        name: The row's ``id``, if it has one.
        image_id: By default ``image``.
    """

    image: str
    expression: str
    mask: str | dict | list
    no_target: bool
    name: int | str | None
    image_id: int | str


def read_rows(path: str | Path) -> Iterator[tuple[int, Row | ValueError]]:
    """Read a JSON-lines file.

    Yields:
        Number of the line, from 1, and the row, or what is wrong with it.
        Blank lines count, but are passed over.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'{path} does not exist or is no file; expected JSON lines: '
            f'set ann_file, which is joined to data_root ({FORMAT})'
        )
    with open(path, 'rb') as file:
        for line, content in enumerate(file, 1):
            if line == 1:
                content = content.removeprefix(BOM_UTF8)
            if not content.strip():
                continue
            try:
                yield line, parse_row(content)
            except ValueError as error:
                yield line, error


def join_mask(root: str | Path, mask: str | dict | list) -> str | dict | list:
    """Let the path of a PNG start from ``root``; keep other masks."""
    return os.path.join(root, mask) if isinstance(mask, str) else mask


def parse_row(content: bytes) -> Row:
    """Check one line; ``ValueError`` says what is wrong with it."""
    row = _decode(content)
    image, expression = _text(row, 'image'), _text(row, 'expression')
    no_target = row.get('no_target', False)
    if not isinstance(no_target, bool):
        raise ValueError(
            f"'no_target' is {_short(no_target)}, expected true or false"
        )
    mask = row.get('mask')
    (_check_no_mask if no_target else _check_mask)(mask)
    image_id = _name(row, 'image_id')
    return Row(
        image=image,
        expression=expression.strip().lower(),
        mask=mask or [],
        no_target=no_target,
        name=_name(row, 'id'),
        image_id=image if image_id is None else image_id,
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is not JSON; expected a number')


# One decoder for all rows: with options json.loads makes one for each.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _decode(content: bytes) -> dict:
    """Return the JSON object of a line."""
    try:
        row = _DECODER.decode(content.decode('utf-8').strip())
    except UnicodeDecodeError as error:
        raise ValueError('not UTF-8 text; save the file as UTF-8') from error
    except json.JSONDecodeError as error:
        raise ValueError(
            f'not JSON ({error.msg} at character {error.pos + 1}); expected '
            'one whole object {...} on each line'
        ) from error
    except RecursionError as error:
        raise ValueError('brackets are nested too deeply') from error
    if not isinstance(row, dict):
        raise ValueError(
            f'{_short(row)} is no object; expected {{"image": ..., '
            '"expression": ..., "mask": ...} on each line'
        )
    return row


def _text(row: dict, key: str) -> str:
    """Return a text that must be there."""
    value = row.get(key)
    if isinstance(value, str) and value.strip():
        return value
    if key in row:
        raise ValueError(f'{key!r} is {_short(value)}, expected some text')
    raise ValueError(
        f'no {key!r}; expected image, expression and mask, got '
        f'{", ".join(map(repr, row)) or "nothing"}'
    )


def _name(row: dict, key: str) -> int | str | None:
    """Return a number or text that may be there."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise ValueError(
            f'{key!r} is {_short(value)}, expected a whole number or text'
        )
    return value


def _check_no_mask(mask: Any) -> None:
    if mask is not None and mask != []:
        raise ValueError(
            f"'no_target' is true, yet 'mask' is {_short(mask)}; remove one "
            'of them: an expression that names nothing has no mask'
        )


def _check_mask(mask: Any) -> None:
    """Raise unless the mask is of one of the three kinds."""
    if not mask:
        raise ValueError(
            f"'mask' is {'missing' if mask is None else _short(mask)}, so the "
            'row serves neither training nor scoring; give polygons, an RLE '
            'or the path of a PNG, or set "no_target": true if the expression '
            'names nothing'
        )
    if isinstance(mask, list):
        _check_polygons(mask)
    elif isinstance(mask, dict):
        _check_rle(mask)
    elif not isinstance(mask, str):
        raise ValueError(
            f"'mask' is {_short(mask)}, expected polygons [[x1, y1, ...], "
            '...], an RLE {"size": ..., "counts": ...} or the path of a PNG'
        )


def _check_polygons(polygons: list) -> None:
    """Raise unless they are flat lists of pixels."""
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(
            type(value) in (int, float) for value in polygon
        ):
            raise ValueError(
                f"'mask' holds {_short(polygon)}, expected a list of "
                'polygons, each a flat list: [[x1, y1, x2, y2, x3, y3, ...], '
                '...]'
            )
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(
                f'polygon {_short(polygon)} has {len(polygon)} numbers, '
                'expected x and y of three or more corners'
            )
        # Infinity comes from numbers like 1e999.
        if not max(map(abs, polygon)) <= _MAX_COORDINATE:
            raise ValueError(
                f'polygon {_short(polygon)} reaches beyond '
                f'{_MAX_COORDINATE} pixels'
            )
    if all(0 <= value <= 1 for polygon in polygons for value in polygon):
        raise ValueError(
            f"'mask' {_short(polygons)} lies within one pixel; coordinates "
            'are pixels, not shares of the image: multiply x by its width, y '
            'by its height'
        )


def _check_rle(rle: dict) -> None:
    """Raise unless it is a COCO RLE; its sum is checked with the image."""
    size, counts = rle.get('size'), rle.get('counts')
    if not (_are_counts(size) and len(size or ()) == 2):
        raise ValueError(
            f"RLE with 'size' {_short(size)}, expected [height, width]"
        )
    if not (isinstance(counts, str) or _are_counts(counts)):
        raise ValueError(
            f"RLE with 'counts' {_short(counts)}, expected COCO's text or a "
            'list of whole numbers, 0 or more'
        )


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and value >= 0 for value in values
    )


def _short(value: Any, limit: int = 60) -> str:
    """Write a value as JSON, its end left out if it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f'{text[:limit]}...'
