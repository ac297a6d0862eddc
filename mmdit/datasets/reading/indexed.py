"""The rows of JSON-lines files, each read when it is asked for.

Every row is checked once, and then again whenever it is read: files may be
changed in between. What is kept is an index (``mmdit/indexing.py``) of 8 bytes
per row: where each row begins, then the size of the file; then, of each row
before which there are blank lines, its number and that of the blank lines so
far; then how many lines the file has, and how many such rows.
"""

import glob
import hashlib
import multiprocessing
import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from copy import copy
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import print_log

from mmdit.datasets.workers import end_with_parent
from mmdit.indexing import Write, open_index, read_at

from .rows import FORMAT, Row, check_kind, check_lines, split_lines

#: What relative paths of images and of masks start from, None for the folder
#: of the file.
Roots = tuple[str | None, str | None]
# Changes with the form of the index and with what is checked.
_KIND = b'rows  01'
# Bytes that a process checks at a time.
_PART = 1 << 25
_CHUNK = 1 << 20


class Place(NamedTuple):
    """Where a row is.

    Attributes:
        path: The file.
        line: Number of its line in the file, from 1.
        number: The same, counting on from file to file.
    """

    path: str
    line: int
    number: int


def find_files(pattern: str, root: str = '') -> list[str]:
    """Return the files of a pattern such as ``part-*.jsonl``, sorted.

    Args:
        pattern: The path of a file is one, too.
        root: What of the pattern's beginning is to be taken literally.

    Raises:
        ValueError: Two of them are one file, by a link.
    """
    if os.path.isfile(pattern) or not glob.has_magic(pattern):
        return [pattern]
    rest = pattern.removeprefix(root)
    literal = glob.escape(pattern[: len(pattern) - len(rest)])
    paths = sorted(set(glob.glob(literal + rest, recursive=True)))
    known: dict[str, str] = {}
    for path in paths:
        same = known.setdefault(os.path.realpath(path), path)
        if same != path:
            raise ValueError(
                f'{same} and {path} of the pattern {pattern} are one file, '
                'whose rows would count twice; expected each file once'
            )
    return paths or [pattern]


class IndexedRows(Sequence):
    """The rows of JSON-lines files, one file after another.

    Args:
        paths: The files.
        convert: Called with a ``Place`` and a ``Row``; returns what an item
            of the sequence is.
        roots: What relative paths of images and of masks start from, None for
            the folder of the file.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: A row is broken; the message names file and line.
    """

    def __init__(
        self,
        paths: Sequence[str],
        convert: Callable[[Place, Row], Any],
        roots: Roots = (None, None),
    ) -> None:
        self._convert = convert
        self._files = [_RowFile(path, roots) for path in paths]
        # Of each file, how many there are before it.
        self._rows = [0, *accumulate(file.rows for file in self._files)]
        self._lines = [0, *accumulate(file.lines for file in self._files)]
        self._chosen: range | np.ndarray = range(self._rows[-1])

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, i: Any) -> Any:
        """Read item ``i``, or return the items of a slice, unread."""
        chosen = self._chosen[i]
        if isinstance(i, slice):
            return self._with(chosen)
        which = bisect_right(self._rows, chosen) - 1
        file = self._files[which]
        line, row = file.read(int(chosen) - self._rows[which])
        place = Place(file.path, line, line + self._lines[which])
        return self._convert(place, row)

    def select(self, indices: Sequence[int]) -> 'IndexedRows':
        """Return the items of these numbers, unread."""
        numbers = np.asarray(indices, np.int64).reshape(-1)
        wrong = (numbers < -len(self)) | (numbers >= len(self))
        if wrong.any():
            raise IndexError(
                f'indices has {numbers[wrong][0]}, expected numbers of '
                f'{len(self)} items'
            )
        numbers = numbers % max(len(self), 1)
        if isinstance(self._chosen, range):
            numbers = self._chosen.start + numbers * self._chosen.step
        else:
            numbers = self._chosen[numbers]
        return self._with(numbers)

    def _with(self, chosen: range | np.ndarray) -> 'IndexedRows':
        other = copy(self)
        other._chosen = chosen
        return other

    def __deepcopy__(self, memo: dict) -> 'IndexedRows':
        """Return itself, which never changes."""
        return self


class _RowFile:
    """A JSON-lines file with its index.

    Attributes:
        path: The file.
        rows: How many rows it has.
        lines: How many lines, with blank ones.
    """

    def __init__(self, path: str, roots: Roots):
        check_kind(path)
        self.path = path
        self._full_path = os.path.abspath(path)
        self._roots = roots
        self._load()

    def _load(self) -> None:
        make = partial(_make, self.path, self._roots)
        digest = partial(_digest, self.path)
        index = open_index(self._full_path, _KIND, make, digest)
        self._stamp = index.stamp
        # A plain array, of the same memory, is faster.
        self._numbers = np.asarray(index.numbers)
        last: list[int] = self._numbers[-2:].tolist()
        # Somebody may have written an index of a single number.
        self.lines, gaps = last if len(last) == 2 else [-1, -1]
        self.rows = len(self._numbers) - 3 - 2 * gaps
        if min(self.rows, self.lines, gaps) < 0:
            raise ValueError(f'the index of {self.path} is damaged; remove it')
        ends = self._numbers[self.rows + 1 : -2].reshape(2, gaps)
        self._gap_rows, self._gap_blanks = ends

    def read(self, i: int) -> tuple[int, Row]:
        """Return the number of the line of row ``i``, and the row."""
        start, stop = self._numbers[i : i + 2].tolist()
        content = read_at(self._full_path, self._stamp, start, stop - start)
        line, gap = i + 1, bisect_right(self._gap_rows, i)
        if gap:
            line += int(self._gap_blanks[gap - 1])
        row: Row | ValueError | None
        if b'\n' in content.strip():
            row = ValueError('it is not the line that was checked')
        else:
            lines = [(0, content)]
            ((_, _, row),) = check_lines(lines, self.path, *self._roots)
        if isinstance(row, Row):
            return line, row
        raise _broken(self.path, line, str(row or 'it is blank now'))

    def __getstate__(self) -> dict:
        """Leave out what is mapped into memory."""
        state = vars(self).items()
        return {k: v for k, v in state if not isinstance(v, np.ndarray)}

    def __setstate__(self, state: dict) -> None:
        """Open the index again, in another process."""
        vars(self).update(state)
        self._load()
        if self._stamp != state['_stamp']:
            raise ValueError(f'{self.path} was changed meanwhile')


def _broken(path: str, line: int, problem: str) -> ValueError:
    return ValueError(f'{path}, line {line}: {problem}; {FORMAT}')


class _Part(NamedTuple):
    """What was found in a part of a file.

    Attributes:
        starts: (R,) int64, where rows begin, in bytes.
        numbers: (R,) int64, numbers of their lines, 1 for the part's first.
        lines: How many lines begin in the part.
        problem: Number of a broken line, and what is wrong with it.
        digest: SHA-256 of the bytes of the part.
    """

    starts: np.ndarray
    numbers: np.ndarray
    lines: int
    problem: tuple[int, str] | None
    digest: bytes


def _make(path: str, roots: Roots, write: Write) -> bytes:
    """Check all rows of a file and write its index; return the digest."""
    size = os.path.getsize(path)
    starts = range(0, size, _PART)
    if len(starts) > 1:
        print_log(
            f'{path}: checking all rows, once ({size / 1e9:.3g} GB)',
            logger='current',
        )
    rows = lines = blank = 0
    gap_rows, gap_blanks = array('q'), array('q')
    digest = hashlib.sha256()
    with _processes(len(starts)) as map_parts:
        check = partial(_check_part, path, roots)
        for part in map_parts(check, starts):
            if part.problem:
                line, problem = part.problem
                raise _broken(path, lines + line, problem)
            write(part.starts)
            number = rows + np.arange(len(part.numbers))
            blanks = lines + part.numbers - 1 - number
            for i in np.flatnonzero(np.diff(blanks, prepend=blank)).tolist():
                blank = int(blanks[i])
                gap_rows.append(rows + i)
                gap_blanks.append(blank)
            rows += len(part.starts)
            lines += part.lines
            digest.update(part.digest)
    ends = [size], gap_rows, gap_blanks, [lines, len(gap_rows)]
    write(np.concatenate([np.array(end, np.int64) for end in ends]))
    return digest.digest()


def _check_part(path: str, roots: Roots, start: int) -> _Part:
    """Check the rows that begin in a part of a file, up to a broken one."""
    starts, numbers = array('q'), array('q')
    number, problem = 0, None
    with open(path, 'rb') as file:
        lines = split_lines(file, start, start + _PART)
        for number, begin, row in check_lines(lines, path, *roots):
            if isinstance(row, ValueError):
                problem = number, str(row)
                break
            if row is not None:
                starts.append(begin)
                numbers.append(number)
    return _Part(
        np.array(starts, np.int64),
        np.array(numbers, np.int64),
        number,
        problem,
        _digest_part(path, start),
    )


def _digest_part(path: str, start: int) -> bytes:
    digest, stop = hashlib.sha256(), start + _PART
    with open(path, 'rb') as file:
        file.seek(start)
        while chunk := file.read(min(_CHUNK, stop - file.tell())):
            digest.update(chunk)
    return digest.digest()


def _digest(path: str) -> bytes:
    """Return the digest of a whole file: that of the digests of its parts."""
    digest = hashlib.sha256()
    for start in range(0, os.path.getsize(path), _PART):
        digest.update(_digest_part(path, start))
    return digest.digest()


@contextmanager
def _processes(parts: int) -> Iterator[Callable]:
    """Give what maps a function to parts, in as many processes as help."""
    workers = min(parts, len(os.sched_getaffinity(0)))
    # A process that loads data may have no children.
    if workers < 2 or multiprocessing.current_process().daemon:
        yield map
        return
    context = multiprocessing.get_context('fork')
    with ProcessPoolExecutor(workers, context, end_with_parent) as pool:
        try:
            yield pool.map
        finally:
            pool.shutdown(cancel_futures=True)
