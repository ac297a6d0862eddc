"""What a long run takes: memory, descriptors, temporary files, as CSV.

The drivers ``soak_*.py`` share this; ``plot_soak.py`` draws what they write::

    args = make_parser(__doc__).parse_args()
    with Recorder(args.out, args.minutes) as recorder:
        while recorder.running:
            do_something()
            recorder.count()
"""

import argparse
import csv
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import NamedTuple

import psutil


class Sample(NamedTuple):
    """A row of the CSV, in this order.

    Attributes:
        time_s: Seconds since the start.
        rss_mb: Resident memory of the process and its descendants.
        descriptors: Their open file descriptors.
        temp_files: Files in the folder for temporary files.
        temp_mb: Their size.
        calls: What the driver has done so often.
    """

    time_s: float
    rss_mb: float
    descriptors: int
    temp_files: int
    temp_mb: float
    calls: int


class Recorder:
    """Write a sample every few seconds while the block runs.

    Temporary files of the block, its threads and its children go to a folder
    of their own (``TMPDIR``, ``folder``), so that what is left can be
    counted; it goes with the block.

    Args:
        out: The CSV.
        minutes: How long ``running`` stays true.
        interval: Seconds between two samples.
        pid: The process to watch with its descendants; by default this one.
    """

    def __init__(
        self,
        out: str | Path,
        minutes: float,
        interval: float = 5.0,
        pid: int | None = None,
    ) -> None:
        self.out = Path(out)
        self.seconds = minutes * 60
        self.interval = interval
        self.calls = 0
        self._process = psutil.Process(pid)
        self._stop, self._lock = Event(), Lock()
        self._thread = Thread(target=self._record, daemon=True)

    def __enter__(self) -> 'Recorder':
        self._before = os.environ.get('TMPDIR'), tempfile.tempdir
        self._temporary = tempfile.TemporaryDirectory(prefix='soak-')
        self.folder = Path(self._temporary.name)
        os.environ['TMPDIR'] = tempfile.tempdir = self._temporary.name
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        variable, tempfile.tempdir = self._before
        if variable is None:
            del os.environ['TMPDIR']
        else:
            os.environ['TMPDIR'] = variable
        self._temporary.cleanup()

    @property
    def running(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() - self._start < self.seconds

    def count(self, calls: int = 1) -> None:
        """Count what has been done; any thread may."""
        with self._lock:
            self.calls += calls

    def sample(self) -> Sample:
        """Measure now."""
        rss = descriptors = 0
        for process in [self._process, *self._descendants()]:
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                rss += process.memory_info().rss
                descriptors += process.num_fds()
        sizes = _sizes(self.folder)
        return Sample(
            round(time.monotonic() - self._start, 1),
            round(rss / 1e6, 1),
            descriptors,
            len(sizes),
            round(sum(sizes) / 1e6, 3),
            self.calls,
        )

    def _descendants(self) -> list[psutil.Process]:
        try:
            return self._process.children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _record(self) -> None:
        with open(self.out, 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(Sample._fields)
            while True:
                writer.writerow(self.sample())
                file.flush()
                if self._stop.wait(self.interval):
                    writer.writerow(self.sample())
                    return


def _sizes(folder: Path) -> list[int]:
    """Return the sizes of all files below a folder."""
    sizes = []
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it has gone meanwhile
                sizes.append(os.lstat(os.path.join(place, name)).st_size)
    return sizes


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with ``--minutes``, ``--interval`` and ``--out``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--minutes', type=float, default=120.0)
    parser.add_argument(
        '--interval', type=float, default=5.0, help='seconds between samples'
    )
    parser.add_argument('--out', type=Path, required=True, help='CSV')
    return parser
