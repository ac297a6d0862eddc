"""Result rows in files while a data set is evaluated, not in memory.

Each process appends its rows to a file of its own. At the end the first one
has all of these files, and reads the rows in the order of the data set, by
where each begins: 8 bytes per item.
"""

import csv
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
from mmengine.dist import (
    broadcast_object_list,
    collect_results,
    get_world_size,
    is_main_process,
)

from mmdit.files import open_text

# Bytes of each process that travel at a time.
_CHUNK = 1 << 24


class RowFile:
    """Rows of this process, in a file without a name that ends with it.

    Args:
        folder: Where the file is, by default the folder of temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None

    def extend(self, rows: Iterable[dict]) -> None:
        """Append rows, whose values are what JSON has.

        Raises:
            OSError: They cannot be written, for the disk is full.
        """
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        text = ''.join(f'{line}\n' for line in lines)
        if self._file is None:
            self._file = self._new_file()
        self._file.write(text.encode('utf-8', 'surrogatepass'))
        # Or a full disk would be told when the other processes wait.
        self._file.flush()

    def clear(self) -> None:
        """Remove all rows."""
        file, self._file = self._file, None
        # What cannot be written is not wanted any more.
        with suppress(OSError):
            if file is not None:
                file.close()

    def gather(self, device: str, folder: str | None) -> list[BinaryIO]:
        """Return the files of all processes to the first, none to others.

        Args:
            device: As in MMEngine's ``collect_results``, like ``folder``.
            folder: The folder that all processes share.
        """
        own = self._file or BytesIO()
        own.seek(0)
        if get_world_size() == 1:
            return [own]
        parts: list[BinaryIO] = []
        failure: OSError | None = None
        goes_on = [True]
        while goes_on[0]:
            chunks = collect_results(
                [own.read(_CHUNK)], get_world_size(), device, folder
            )
            if is_main_process():
                assert chunks is not None
                try:
                    parts = parts or [self._new_file() for _ in chunks]
                    for part, chunk in zip(parts, chunks, strict=True):
                        part.write(chunk)
                # The other processes wait to hear of it.
                except OSError as error:
                    failure, chunks = error, []
                goes_on = [any(chunks)]
            broadcast_object_list(goes_on)
        if failure is not None:
            raise failure
        return parts

    def _new_file(self) -> BinaryIO:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._folder)


class OrderedRows:
    """The rows of a data set in its order, read anew at each iteration.

    Args:
        parts: Files of rows. Of an item that several rows are of, the last
            row counts: samplers repeat items at the end, and an evaluation
            that was interrupted leaves its own.
        size: Number of items of the data set.

    Attributes:
        names: Keys of all rows; some data sets say more than others.

    Raises:
        RuntimeError: An item has no row.
    """

    def __init__(self, parts: list[BinaryIO], size: int) -> None:
        self._parts = parts
        # Of each item the place of its row, as if all were one file.
        self._places = np.full(size, -1, np.int64)
        self._starts = [0]
        self.names: dict[str, None] = {}
        others = set()
        for part in parts:
            part.seek(0)
            place = self._starts[-1]
            for line in part:
                row = json.loads(line)
                self.names.update(dict.fromkeys(row))
                idx = row['sample_idx']
                if not 0 <= idx < size:
                    others.add(idx)
                else:
                    self._places[idx] = place
                place += len(line)
            self._starts.append(place)
        _check_complete(self._places, others)

    def __iter__(self) -> Iterator[dict]:
        which = np.searchsorted(self._starts, self._places, 'right') - 1
        for number, place in zip(which, self._places, strict=True):
            part = self._parts[number]
            part.seek(int(place) - self._starts[number])
            yield json.loads(part.readline())


def _check_complete(places: np.ndarray, others: set[int]) -> None:
    """Raise unless each item of the data set has its row."""
    size = len(places)
    missing = np.flatnonzero(places < 0)
    if size and not len(missing) and not others:
        return
    raise RuntimeError(
        f'expected one result for each of {size} items, got '
        f'{size - len(missing) + len(others)} distinct ones; {len(missing)} '
        f'are missing, sample_idx {missing[:10].tolist()}'
        f'{"..." if len(missing) > 10 else ""}. Evaluate one data set per '
        'data loader, without dropping items'
    )


def write_rows(rows: OrderedRows, path: Path) -> None:
    """Write the rows to a .json or .csv file, whole or not at all."""
    write = _write_json if path.suffix == '.json' else _write_csv
    with open_text(path) as file:
        write(rows, file)


def _write_json(rows: OrderedRows, file: TextIO) -> None:
    """Write what ``json.dump`` with ``indent=1`` writes of a list."""
    before = '[\n '
    for row in rows:
        text = json.dumps(row, ensure_ascii=False, indent=1)
        file.write(before + text.replace('\n', '\n '))
        before = ',\n '
    file.write('\n]')


def _write_csv(rows: OrderedRows, file: TextIO) -> None:
    writer = csv.DictWriter(file, list(rows.names))
    writer.writeheader()
    writer.writerows(rows)
