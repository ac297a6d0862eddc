"""Runs that end early: nothing is lost, and the status says why."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/synthref/ldit_tiny_synthref-64x64.py'
OPTIONS = [
    'model.backbone.arch.depth=2',
    'train_dataloader.batch_size=4',
    'default_hooks.logger.interval=5',
    'train_cfg.max_iters=100000',
    'train_cfg.val_interval=100000',
]
LIMIT = 300
ENV = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHON': sys.executable}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a small SynthRef."""
    folder = tmp_path_factory.mktemp('run')
    script = ROOT / 'tools/dataset_converters/synthref.py'
    subprocess.run(
        [
            sys.executable,
            script,
            'data/synthref',
            '--train',
            '9',
            '--val',
            '3',
        ],
        cwd=folder,
        env=ENV,
        check=True,
        capture_output=True,
    )
    return folder


class Run:
    """A training run in processes of its own, with its output."""

    def __init__(self, folder, work_dir, *options, gpus=0, args=(), **popen):
        self.work_dir = folder / work_dir
        self.log = folder / f'{work_dir}.{time.time_ns()}.log'
        start = [sys.executable, ROOT / 'tools/train.py', CONFIG]
        env = ENV
        if gpus:
            start = ['bash', ROOT / 'tools/dist_train.sh', CONFIG, str(gpus)]
            env = ENV | dict(PORT=str(20000 + os.getpid() % 9000))
        with self.log.open('wb') as file:
            self.process = subprocess.Popen(
                [*start, '--work-dir', work_dir, *args]
                + ['--cfg-options', *OPTIONS, *options],
                cwd=folder,
                env=env,
                stdout=file,
                stderr=file,
                start_new_session=True,
                **popen,
            )

    @property
    def text(self):
        return self.log.read_text(errors='replace')

    def wait_for(self, pattern):
        end = time.monotonic() + LIMIT
        while not re.search(pattern, self.text):
            alive = self.process.poll() is None
            assert alive and time.monotonic() < end, self.text[-3000:]
            time.sleep(0.2)
        return self

    def status(self):
        return self.process.wait(LIMIT)

    def ranks(self):
        """Return the ids of all processes of this run that train."""
        found = []
        for path in Path('/proc').glob('[0-9]*'):
            try:
                line = (path / 'cmdline').read_bytes().decode()
                here = (path / 'cwd').resolve() == self.work_dir.parent
            except OSError:
                continue
            if here and 'tools/train.py' in line and '--launcher' in line:
                found.append(int(path.name))
        return found


def steps(work_dir):
    return sorted(
        int(path.stem.removeprefix('iter_'))
        for path in work_dir.glob('iter_*.pth')
    )


def test_a_signal_loses_no_step_and_the_run_goes_on(folder):
    work_dir = 'one'
    for n, number in enumerate((signal.SIGUSR1, signal.SIGINT)):
        args = ['--resume'] if n else []
        run = Run(folder, work_dir, args=args)
        run.wait_for(r'Iter\(train\).*/100000\]')
        run.process.send_signal(number)
        assert run.status() == 128 + number, run.text[-3000:]
        last = steps(run.work_dir)[-1]
        assert f'{number.name}: saved' in run.text
        assert f'iter_{last}.pth; go on from it with --resume' in run.text
        saved = torch.load(
            run.work_dir / f'iter_{last}.pth', weights_only=False
        )
        assert saved['meta']['iter'] == last
    assert len(steps(run.work_dir)) == 2


def test_ranks_agree_when_to_stop_and_end_with_their_launcher(folder):
    run = Run(folder, 'two', gpus=2).wait_for(r'Iter\(train\).*/100000\]')
    assert len(run.ranks()) >= 2
    run.process.send_signal(signal.SIGTERM)
    assert run.status() == 128 + signal.SIGTERM, run.text[-3000:]
    assert run.text.count('SIGTERM: saved') == 1
    (last,) = steps(run.work_dir)
    assert not run.ranks()
    run = Run(folder, 'two', gpus=2, args=['--resume'])
    run.wait_for(r'Iter\(train\).*/100000\]')
    run.process.kill()
    run.process.wait(LIMIT)
    end = time.monotonic() + LIMIT
    while run.ranks() and time.monotonic() < end:
        time.sleep(0.2)
    assert not run.ranks()
    assert steps(run.work_dir)[0] == last < steps(run.work_dir)[-1]


def test_a_full_disk_is_said_and_costs_no_checkpoint(folder):
    first = Run(
        folder,
        'full',
        'default_hooks.checkpoint.interval=2',
        'train_cfg.max_iters=2',
    )
    assert first.status() == 0, first.text[-3000:]
    path = first.work_dir / 'iter_2.pth'
    before = path.read_bytes()
    # As ENOSPC, but without a disk that is full: no file may exceed this.
    size = len(before) // 2

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    run = Run(
        folder,
        'full',
        'default_hooks.checkpoint.interval=2',
        args=['--resume'],
        preexec_fn=limit,
    )
    assert run.status() == 1, run.text[-3000:]
    assert 'full takes no more (File too large)' in run.text
    assert f'The last good checkpoint is {path};' in run.text
    assert path.read_bytes() == before
    assert steps(run.work_dir) == [2]
    assert not list(run.work_dir.glob('.*part'))


def test_a_learning_rate_beyond_reason_is_no_success(folder):
    run = Run(
        folder,
        'nan',
        'optim_wrapper.optimizer.lr=1e30',
        'optim_wrapper.clip_grad=None',
        'param_scheduler=None',
    )
    assert run.status() == 1, run.text[-3000:]
    assert 'the loss was not finite in 3 steps in a row' in run.text
    assert 'learning rate 1e+30; items of the batch: data/synthref' in run.text
    assert steps(run.work_dir) == []
