"""Several processes that train together, forked from the test's own."""

import os
import socket
import sys
import traceback

import matplotlib.pyplot  # noqa: F401
import torch
import torch._dynamo  # noqa: F401
from mmengine.runner import Runner

from mmdit.datasets.synthref import write_synthref
from mmdit.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmdit.resources import resolve_config

CONFIG = f"""
_base_ = '{resolve_config('ldit_tiny_synthref-64x64')}'
model = dict(backbone=dict(arch=dict(depth=2)))
train_dataloader = dict(batch_size=2, num_workers=0)
train_cfg = dict(max_iters=2, val_interval=9)
default_hooks = dict(checkpoint=dict(interval=2))
visualizer = dict(vis_backends=[])
"""

# A fork has imported everything, and starts in no time.
for registry in (DATASETS, METRICS, MODELS, TRANSFORMS):
    registry.import_from_location()


def write_run(folder, more=''):
    """Write a small SynthRef and ``config.py`` of two steps into a folder."""
    write_synthref(folder / 'data/synthref', train=4, val=1)
    (folder / 'config.py').write_text(CONFIG + more)


def free_port():
    """Return the variable of torch.distributed with a port that is free."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return dict(MASTER_PORT=str(free.getsockname()[1]))


def run_ranks(function, folder, environments):
    """Call a function in one new process per environment, in a folder."""
    children = []
    for rank, environment in enumerate(environments):
        child = os.fork()
        if child:
            children.append(child)
            continue
        status = 1
        try:
            log = os.open(folder / f'rank{rank}.log', os.O_CREAT | os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(folder)
            os.environ.update(environment)
            torch.set_num_threads(1)
            Runner._log_env = lambda *_: None  # it calls compilers
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    found = [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]
    logs = [path.read_text()[-3000:] for path in folder.glob('rank?.log')]
    assert not any(found), '\n'.join(logs)
