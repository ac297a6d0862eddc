"""Values of annotation files: how messages show them, what numbers are."""

import json
import os
import re
import reprlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmdit.files import read_json

Id = int | str
PREPARE = 'see docs/prepare_data.md'
_MAX_ID = 2**63 - 1
_MAX_NAME = 1000
# Linux opens no longer path.
_MAX_PATH = 4096
_MAX_EXPRESSION = 10_000
_WHOLE = re.compile('0|-?[1-9][0-9]{0,17}')


class _Short(reprlib.Repr):
    """Write values as JSON does, however large, deep or shared they are."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = 8

    def repr1(self, x: Any, level: int) -> str:
        if x is None or isinstance(x, bool):
            return json.dumps(x)
        return super().repr1(x, level)

    def repr_str(self, x: str, level: int) -> str:
        return json.dumps(x[:80], ensure_ascii=False)

    def repr_int(self, x: int, level: int) -> str:
        bits = x.bit_length()
        # Python rejects to write out integers of over 4300 digits.
        return repr(x) if bits < 200 else f'an integer of {bits} bits'


_SHORT = _Short()


def short(value: Any, limit: int = 60) -> str:
    """Write a value as JSON, its end left out if it is long."""
    text = _SHORT.repr(value)
    # Half a surrogate pair is no UTF-8, and could not be printed.
    text = text.encode('utf-8', 'backslashreplace').decode()
    return text if len(text) <= limit else f'{text[:limit]}...'


def to_number(value: Any) -> float:
    """Return a number, which may be written as text."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except (OverflowError, ValueError):
            pass
    raise ValueError(f'{short(value)} is not a number')


def to_whole(value: Any) -> int | None:
    """Return a whole number that may be written as a float, else None."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def read_id(value: Any, what: str) -> Id:
    """Return an id: a whole number of 63 bits, however written, or text.

    Large integers may be made to have one hash, and then take a dict forever.
    """
    if type(value) is int and -_MAX_ID <= value <= _MAX_ID:
        return value
    if isinstance(value, str) and 0 < len(value) <= _MAX_NAME:
        number = _WHOLE.fullmatch(value)
        return int(value) if number else check_text(value, what)
    whole = to_whole(value)
    if whole is None or abs(whole) > _MAX_ID:
        raise ValueError(
            f'{what} is {short(value)}, expected a whole number or text'
        )
    return whole


def check_text(text: str, what: str) -> str:
    """Return a text that can be written as UTF-8, and as a path."""
    if not text.isascii():
        try:
            text.encode('utf-8')
        except UnicodeEncodeError as error:
            raise ValueError(
                f'{what} is {short(text)}, which holds half a surrogate pair '
                f'at character {error.start + 1}; expected whole characters'
            ) from None
    if '\0' in text:
        raise ValueError(
            f'{what} is {short(text)}, which holds a NUL; expected text'
        )
    return text


def read_expression(text: Any, what: str) -> str:
    """Return an expression as models read it: stripped, in lower case."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'{what} is {short(text)}, expected some text')
    if len(text) > _MAX_EXPRESSION:
        raise ValueError(
            f'{what} has {len(text):,} characters ({short(text, 20)}), '
            f'expected at most {_MAX_EXPRESSION:,}'
        )
    return check_text(text, what).strip().lower()


def check_path(path: str, root: str | Path, what: str) -> str:
    """Return the path of a file, which need not be there."""
    check_text(path, what)
    if '://' in path:
        raise ValueError(
            f'{what} is {short(path)}, which is a URL; download it and give '
            'the path of the file'
        )
    if len(path) > _MAX_PATH or os.path.isdir(os.path.join(root, path)):
        raise ValueError(
            f'{what} is {short(path)}, which is not a file; expected the path '
            'of one'
        )
    return path


def load_json(path: str | Path) -> Any:
    """Read a JSON file of annotations."""
    return read_json(path, f'download it again: {PREPARE}')


class _PlainTree(ElementTree.TreeBuilder):
    """Elements of a document without entities, which can grow forever."""

    def doctype(self, *_: Any) -> None:
        raise ValueError('it has a DOCTYPE, which annotations never have')


def load_xml(path: str | Path) -> ElementTree.Element:
    """Read an XML file that declares nothing."""
    parser = ElementTree.XMLParser(target=_PlainTree())
    try:
        return ElementTree.parse(path, parser).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f'{path} is not complete XML ({error})') from error
