"""Training that is killed again and again loses nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
# Two runs, which meet every kind of moment, seldom leave out more than two.
KILLS = os.environ.get('MMDIT_KILLS', '6')


def test_killed_runs_equal_runs_that_were_never_interrupted():
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / 'crashes.py', '--kills', KILLS],
        env={
            **os.environ,
            'PYTHONPATH': str(here.parents[1]),
            'OMP_NUM_THREADS': '1',
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    (killed,) = re.findall(r'killed (\d+) times, 0 runs differ', done.stdout)
    assert int(killed) >= int(KILLS)
