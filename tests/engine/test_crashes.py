"""Training that is killed again and again loses nothing."""

import os
import re
import sys

import crashes
import pytest
from forked import fork, wait

pytestmark = pytest.mark.slow
# Two runs, which meet every kind of moment, seldom leave out more than two.
KILLS = os.environ.get('MMDIT_KILLS', '6')


def test_killed_runs_equal_runs_that_were_never_interrupted(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, 'argv', ['crashes.py', '--kills', KILLS])
    log = tmp_path / 'log'
    status = wait(fork(crashes.main, tmp_path, log, limit=0))
    said = log.read_text()
    assert status == 0, said[-3000:]
    (killed,) = re.findall(r'killed (\d+) times, 0 runs differ', said)
    assert int(killed) >= int(KILLS)
