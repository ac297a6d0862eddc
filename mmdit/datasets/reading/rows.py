"""Reading a JSON-lines file of expressions, every line checked."""

import json
import math
import os
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from .foreign import advise_converting
from .segmentations import parse_segmentation
from .values import Id, check_path, read_expression, read_id, short, to_whole

FORMAT = 'see docs/own_data.md'


class Row(NamedTuple):
    """What one line says, checked.

    Attributes:
        image: Path of the image, as in the file.
        expression: Stripped and in lower case.
        mask: Polygons, an RLE, the path of a PNG as in the file, or nothing.
        no_target: Whether the expression refers to no object in the image.
        name: The row's ``id``, if it has one.
        image_id: By default ``image``.
        size: (height, width) of the image that the mask was made for, if the
            row has them.
        turn_by_exif: Whether the mask fits the image as viewers turn it, if
            the row says so.
    """

    image: str
    expression: str
    mask: str | dict | list
    no_target: bool
    name: Id | None
    image_id: Id
    size: tuple[int, int] | None = None
    turn_by_exif: bool | None = None


def read_rows(
    path: str | Path,
    image_root: str | Path | None = None,
    mask_root: str | Path | None = None,
) -> Iterator[tuple[int, Row | ValueError]]:
    """Read a JSON-lines file.

    Args:
        path: The file.
        image_root: What relative paths of images start from, by default the
            folder of the file.
        mask_root: The same for masks.

    Yields:
        Number of the line, from 1, and the row, or what is wrong with it.
        Blank lines count, but are passed over.
    """
    check_kind(path)
    with open(path, 'rb') as file:
        lines = split_lines(file)
        for number, _, row in check_lines(lines, path, image_root, mask_root):
            if row is not None:
                yield number, row


def check_kind(path: str | Path) -> None:
    """Raise unless a file is there, and not of another tool."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'{path} does not exist or is not a file; expected JSON lines: '
            f'set ann_file, which is joined to data_root ({FORMAT})'
        )
    if advice := advise_converting(path):
        raise ValueError(advice)


def split_lines(
    file: BinaryIO, start: int = 0, stop: float = math.inf
) -> Iterator[tuple[int, bytes]]:
    """Read the lines that begin in a part of a file.

    Args:
        file: Open in mode 'rb'.
        start: Where the part begins, in bytes.
        stop: Where it ends.

    Yields:
        Where a line begins, in bytes, and the line. A byte order mark is no
        part of the first.
    """
    if start:
        # To the end of a line that began before.
        file.seek(start - 1)
        start += len(file.readline()) - 1
    while start < stop and (content := file.readline()):
        text = content if start else content.removeprefix(BOM_UTF8)
        start += len(content)
        yield start - len(text), text


def check_lines(
    lines: Iterable[tuple[int, bytes]],
    path: str | Path,
    image_root: str | Path | None = None,
    mask_root: str | Path | None = None,
) -> Iterator[tuple[int, int, Row | ValueError | None]]:
    """Check lines of ``split_lines``; arguments as in ``read_rows``.

    Yields:
        Number of the line, from 1, where it begins, and the row, or what is
        wrong with it, or None of a blank line.
    """
    folder, known = os.path.dirname(path), set[str]()
    for number, (start, content) in enumerate(lines, 1):
        row: Row | ValueError | None = None
        try:
            if content.strip():
                row = parse_row(content)
                if row.image not in known:
                    check_path(row.image, image_root or folder, "'image'")
                    known.add(row.image)
                if isinstance(row.mask, str):
                    check_path(row.mask, mask_root or folder, "'mask'")
        except ValueError as error:
            row = error
        yield number, start, row


def join_mask(root: str | Path, mask: str | dict | list) -> str | dict | list:
    """Let the path of a PNG start from ``root``; keep other masks."""
    return os.path.join(root, mask) if isinstance(mask, str) else mask


def parse_row(content: bytes) -> Row:
    """Check one line; ``ValueError`` says what is wrong with it."""
    row = _decode(content)
    image = _text(row, 'image')
    expression = read_expression(_text(row, 'expression'), "'expression'")
    no_target = _flag(row, 'no_target') or False
    mask = row.get('mask')
    (_check_no_mask if no_target else _check_mask)(mask)
    image_id = _name(row, 'image_id')
    return Row(
        image=image,
        expression=expression,
        mask=mask or [],
        no_target=no_target,
        name=_name(row, 'id'),
        image_id=image if image_id is None else image_id,
        size=_size(row),
        turn_by_exif=_flag(row, 'turn_by_exif'),
    )


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is not JSON; expected a number')


# One decoder for all rows: with options json.loads makes one for each.
_DECODER = json.JSONDecoder(parse_constant=_reject_constant)


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
        raise ValueError(
            'brackets are nested too deeply; expected one plain object {...}'
        ) from error
    # Python reads no integers of over 4300 digits.
    except ValueError as error:
        if 'digits' not in str(error):
            raise
        raise ValueError(
            'a number has over 4300 digits; expected a smaller one'
        ) from error
    if not isinstance(row, dict):
        raise ValueError(
            f'{short(row)} is not an object; expected {{"image": ..., '
            '"expression": ..., "mask": ...} on each line'
        )
    return row


def _text(row: dict, key: str) -> str:
    """Return a text that must be there."""
    value = row.get(key)
    if isinstance(value, str) and value.strip():
        return value
    if key in row:
        raise ValueError(f'{key!r} is {short(value)}, expected some text')
    raise ValueError(
        f'no {key!r}; expected image, expression and mask, got '
        f'{short(list(row), 200)[1:-1] or "nothing"}'
    )


def _name(row: dict, key: str) -> Id | None:
    """Return a number or text that may be there."""
    value = row.get(key)
    return None if value is None else read_id(value, repr(key))


def _flag(row: dict, key: str) -> bool | None:
    """Return true or false, which may be there."""
    value = row.get(key)
    if key in row and not isinstance(value, bool):
        raise ValueError(f'{key!r} is {short(value)}, expected true or false')
    return value


def _size(row: dict) -> tuple[int, int] | None:
    """Return height and width, which may be there."""
    given = row.get('height'), row.get('width')
    if given == (None, None):
        return None
    height, width = map(to_whole, given)
    if not (height and width and min(height, width) > 0):
        raise ValueError(
            f"'height' is {short(given[0])} and 'width' {short(given[1])}, "
            'expected the pixels of the image, or none of both'
        )
    return height, width


def _check_no_mask(mask: Any) -> None:
    if mask is not None and mask != []:
        raise ValueError(
            f"'no_target' is true, yet 'mask' is {short(mask)}; remove one "
            'of them: a no-target expression has no mask'
        )


def _check_mask(mask: Any) -> None:
    """Raise unless the mask is of one of the three kinds."""
    if not mask:
        raise ValueError(
            f"'mask' is {'missing' if mask is None else short(mask)}, so the "
            'row serves neither training nor scoring; give polygons, an RLE '
            'or the path of a PNG, or set "no_target": true for a no-target '
            'expression'
        )
    if isinstance(mask, str):
        return
    found = parse_segmentation(mask, "'mask'")
    if not found.polygons and not found.rles:
        raise ValueError(
            f'polygon {short(mask[0])} has {len(mask[0])} numbers, expected x '
            'and y of three or more corners'
        )
