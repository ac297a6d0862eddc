"""Files that are written whole or not at all, and JSON that is read."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

PART = '.part'


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write, which then takes the place of ``path``.

    It is on the disk before it takes the name: a crash, also of the machine,
    leaves the old file or the new one. An error leaves the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}{PART}')
    try:
        yield part
        _flush(part)
        os.replace(part, path)
        _flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes the place of ``path`` once it is complete.

    Names of files may be no UTF-8, and an expression may hold half a
    surrogate pair: neither must cost what is written.
    """
    with (
        replacing(path) as part,
        open(
            part, 'w', encoding='utf-8', errors='backslashreplace', newline=''
        ) as file,
    ):
        yield file


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with open_text(path) as file:
        file.write(text)


def read_json(path: str | Path, cure: str) -> Any:
    """Read a JSON file, with or without a byte order mark.

    Args:
        path: The file.
        cure: What to do where it is broken, for the message.

    Raises:
        ValueError: It is not JSON, cut off, or nested too deeply.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{path} is not complete JSON ({error!s:.200}); {cure}'
        ) from error


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` write a file that takes the place of ``path``."""
    with replacing(path) as part:
        write(part)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        # Some network file systems have no such thing for folders.
        if path.is_file():
            raise
    finally:
        os.close(descriptor)
