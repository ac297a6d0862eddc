import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import plot_soak
import pytest
from soak import Recorder, Sample, make_parser


def record(out, do=lambda: None):
    with Recorder(out, minutes=0.01, interval=0.1) as recorder:
        while recorder.running:
            do()
            recorder.count()
            time.sleep(0.05)


def test_what_is_left_of_temporary_files_shows(tmp_path):
    before = tempfile.gettempdir()
    out = tmp_path / 'soak.csv'

    def leave_a_file():
        handle, path = tempfile.mkstemp()
        os.write(handle, bytes(1000))

    record(out, leave_a_file)
    lines = out.read_text().splitlines()
    assert lines[0].split(',') == list(Sample._fields)
    last = Sample(*map(float, lines[-1].split(',')))
    assert last.temp_files == last.calls > 5
    assert last.temp_mb == pytest.approx(last.calls * 1e-3)
    # Their descriptors were left open as well.
    first = Sample(*map(float, lines[1].split(',')))
    assert last.descriptors - first.descriptors >= last.calls - 3
    assert tempfile.gettempdir() == before


def test_memory_of_children_counts(tmp_path):
    code = 'x = bytearray(200_000_000); input()'
    with Recorder(tmp_path / 'soak.csv', minutes=1, interval=60) as recorder:
        alone = recorder.sample().rss_mb
        with subprocess.Popen(
            [sys.executable, '-c', code], stdin=subprocess.PIPE
        ) as child:
            deadline = time.monotonic() + 20
            while recorder.sample().rss_mb < alone + 190:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            child.communicate(b'\n')


def test_growth_is_that_after_the_start(tmp_path):
    seconds = np.arange(0, 3601, 60.0)
    memory = np.where(seconds < 900, seconds, 900 + (seconds - 900) / 100)
    columns = {name: np.ones_like(seconds) for name in Sample._fields}
    columns.update(time_s=seconds, rss_mb=memory)
    summary = plot_soak.summarize(columns)
    assert summary['rss_mb']['growth_per_hour'] == pytest.approx(36)
    assert summary['descriptors']['growth_per_hour'] == pytest.approx(0)
    assert summary['rss_mb']['quarters'] == [420, 904.2, 913.2, 922.5]
    plot_soak.plot(columns, 'memory', tmp_path / 'soak.png')
    assert (tmp_path / 'soak.png').stat().st_size > 1000


def test_the_csv_is_asked_for():
    args = make_parser('').parse_args(['--out', 'a.csv', '--minutes', '2'])
    assert str(args.out) == 'a.csv' and args.minutes == 2
