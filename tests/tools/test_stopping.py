"""Runs that end early: nothing is lost, and the status says why."""

import json
import os
import re
import resource
import signal
import sys
import time
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch
from forked import (
    LIMIT,
    fork,
    free_port,
    run_python,
    run_ranks,
    script_command,
    torchrun,
    wait,
)
from in_process import call_tool

from mmdit.cli.train import main
from mmdit.datasets.synthref import write_synthref

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
STEPS = r'Iter\(train\).*/100000\]'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a small SynthRef."""
    folder = tmp_path_factory.mktemp('run')
    write_synthref(folder / 'data/synthref', train=9, val=3)
    return folder


def train(folder, work_dir, *options, end):
    """Train, or go on, in this process; return the work dir."""
    args = ['--work-dir', work_dir, '--resume', '--cfg-options', *OPTIONS]
    options = [*options, f'train_cfg.max_iters={end}']
    call_tool('tools/train.py', folder, CONFIG, *args, *options)
    return folder / work_dir


class Run:
    """A training run in a process of its own, with its output.

    With ``gpus``, in as many as a script starts.
    """

    def __init__(self, folder, work_dir, *options, gpus=0):
        self.work_dir = folder / work_dir
        self.log = folder / f'{work_dir}.log'
        args = ['--work-dir', work_dir, '--cfg-options', *OPTIONS, *options]
        main = partial(run_train, CONFIG, *args)
        environment = {}
        if gpus:
            script = ROOT / 'tools/dist_train.sh'
            main = partial(
                run_python, script_command(script, CONFIG, gpus, *args)
            )
            environment = dict(PORT=free_port()['MASTER_PORT'])
        self.process = fork(main, folder, self.log, environment)

    @property
    def text(self):
        return self.log.read_text(errors='replace')

    def stop(self, number):
        """Send a signal when it trains; return the exit status."""
        wait_for_steps(self.log)
        os.kill(self.process, number)
        return wait(self.process)

    def left(self):
        """Return the ids of all processes that are in the run's folder."""
        return [
            process
            for process in Path('/proc').glob('[0-9]*/cwd')
            if process.resolve() == self.work_dir.parent
        ]


def run_train(*args):
    sys.argv = ['train', *map(str, args)]
    return main()


def wait_for_steps(log):
    """Wait until a run has trained a few steps."""
    end = time.monotonic() + LIMIT
    while not (log.exists() and re.search(STEPS, log.read_text())):
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.2)


def steps(work_dir):
    return sorted(
        int(path.stem.removeprefix('iter_'))
        for path in work_dir.glob('iter_*.pth')
    )


def test_a_signal_loses_no_step_and_the_run_goes_on(folder):
    run = Run(folder, 'one')
    assert run.stop(signal.SIGUSR1) == 128 + signal.SIGUSR1, run.text[-3000:]
    (last,) = steps(run.work_dir)
    assert 'SIGUSR1: saved' in run.text
    assert f'iter_{last}.pth; go on from it with --resume' in run.text
    path = run.work_dir / f'iter_{last}.pth'
    saved = torch.load(path, weights_only=False)
    assert saved['meta']['iter'] == last
    train(folder, 'one', 'default_hooks.logger.interval=1', end=last + 2)
    assert steps(run.work_dir) == [last, last + 2]
    scalars = max(run.work_dir.glob('*/vis_data/scalars.json'))
    rows = map(json.loads, scalars.read_text().splitlines())
    found = [row['step'] for row in rows if 'loss' in row]
    assert found == [last + 1, last + 2]


def test_ranks_agree_when_to_stop(folder):
    run = Run(folder, 'two', gpus=2)
    assert run.stop(signal.SIGTERM) == 128 + signal.SIGTERM, run.text[-3000:]
    assert run.text.count('SIGTERM: saved') == 1
    (last,) = steps(run.work_dir)
    path = run.work_dir / f'iter_{last}.pth'
    saved = torch.load(path, weights_only=False)
    assert saved['meta']['world_size'] == 2
    assert not run.left()


def test_ranks_end_with_their_launcher(folder):
    log, ids = folder / 'rank0.log', folder / 'ids'
    args = ['--work-dir', 'killed', '--launcher', 'pytorch', '--cfg-options']

    def rank():
        with ids.open('a') as file:
            file.write(f'{os.getpid()}\n')
        return run_train(CONFIG, *args, *OPTIONS)

    def launch():
        run_ranks(rank, folder, torchrun(2))

    launcher = fork(launch, folder, folder / 'launcher.log')
    wait_for_steps(log)
    os.kill(launcher, signal.SIGKILL)
    wait(launcher)
    ranks = ids.read_text().split()
    assert len(ranks) == 2
    end = time.monotonic() + LIMIT
    while any(map(alive, ranks)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not any(map(alive, ranks))
    assert len(steps(folder / 'killed')) == 1
    assert log.read_text().count('SIGINT: saved') == 1


def alive(process):
    """Tell whether a process runs; a dead one may have no parent to say so."""
    try:
        return bool(Path('/proc', process, 'cmdline').read_bytes())
    except OSError:
        return False


def test_a_full_disk_is_said_and_costs_no_checkpoint(folder):
    work_dir = train(folder, 'full', end=2)
    path = work_dir / 'iter_2.pth'
    before = path.read_bytes()
    # As ENOSPC, but without a disk that is full: no file may exceed this.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = len(before) // 2, limits[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    try:
        with pytest.raises(SystemExit) as stop:
            train(folder, 'full', end=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 'full takes no more (File too large)' in stop.value.code
    assert f'The last good checkpoint is {path};' in stop.value.code
    assert path.read_bytes() == before
    assert steps(work_dir) == [2]
    assert not list(work_dir.glob('.*part'))


def test_a_learning_rate_beyond_reason_is_no_success(folder):
    beyond = 'optim_wrapper.optimizer.lr=1e30'
    options = [beyond, 'optim_wrapper.clip_grad=None', 'param_scheduler=None']
    with pytest.raises(SystemExit) as stop:
        train(folder, 'nan', *options, end=99)
    assert stop.value.code == 1
    (log,) = (folder / 'nan').glob('*/*.log')
    assert 'the loss was not finite in 3 steps in a row' in log.read_text()
    assert 'learning rate 1e+30; items of the batch: data/' in log.read_text()
    assert steps(folder / 'nan') == []


def test_workers_end_with_the_training(folder):
    workers = [
        f'{split}_dataloader.{option}'
        for split in ('train', 'val')
        for option in ('num_workers=1', 'persistent_workers=True')
    ]
    before = active_children()
    options = [*workers, 'train_cfg.val_interval=1']
    train(folder, 'workers', *options, end=1)
    assert active_children() == before  # without a look for garbage
