"""Values of annotation files: how messages show them, what numbers are."""

import json
import reprlib
from typing import Any


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
        # Python refuses to write out integers of over 4300 digits.
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
    raise ValueError(f'{short(value)} is no number')


def to_whole(value: Any) -> int | None:
    """Return a whole number that may be written as a float, else None."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None
