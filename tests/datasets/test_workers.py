"""Workers outlive signals to their group, not the process they serve."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os
import signal
import sys
from torch.utils.data import DataLoader
from mmdit.datasets import workers

workers.GRACE = 3600

class Items:
    def __len__(self):
        return 4

    def __getitem__(self, place):
        return os.getpid()

loader = DataLoader(
    Items(),
    num_workers=1,
    persistent_workers=True,
    worker_init_fn=lambda _: workers.outlive_signals(),
)
if __name__ == '__main__':
    first = {int(pid) for pid in loader}
    print(*first, flush=True)
    sys.stdin.readline()
    assert {int(pid) for pid in loader} == first
"""


@pytest.mark.skipif(
    not hasattr(signal, 'sigwaitinfo'), reason='the system cannot tell senders'
)
def test_workers_outlive_others_signals_and_end_with_their_process(tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, 'script.py'],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | dict(PYTHONPATH=os.pathsep.join(sys.path)),
    )
    worker = int(process.stdout.readline())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        os.kill(worker, number)
    # It does not wait for the worker's time of grace.
    _, errors = process.communicate('go on\n', timeout=300)
    assert process.returncode == 0 and not errors, errors
