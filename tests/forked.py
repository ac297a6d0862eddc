"""Processes forked from the test's own: they have imported everything."""

import os
import signal
import socket
import sys
import traceback
from collections import OrderedDict

import matplotlib.pyplot  # noqa: F401
import torch
import torch._dynamo  # noqa: F401
from in_process import managers
from mmengine.runner import Runner
from mmengine.utils import ManagerMixin

from mmdit.registry import DATASETS, METRICS, MODELS, TRANSFORMS

LIMIT = 900  # seconds, on a busy machine

for registry in (DATASETS, METRICS, MODELS, TRANSFORMS):
    registry.import_from_location()


def fork(function, folder, log, environment=None, limit=LIMIT):
    """Call a function in a new process, in a folder; return its id.

    Its output goes to a file, its status is that of a program, and after a
    limit in seconds, if any, it dies.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.alarm(limit)
        # Shells start what runs in the background with it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        target = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for number in (1, 2):
            os.dup2(target, number)
        sys.stdout = os.fdopen(1, 'w', buffering=1, closefd=False)
        sys.stderr = sys.stdout
        os.chdir(folder)
        os.environ.update(environment or {})
        torch.set_num_threads(1)
        Runner._log_env = lambda *_: None  # it calls compilers
        for manager in managers(ManagerMixin):
            manager._instance_dict = OrderedDict()
        status = function() or 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def wait(child):
    """Return the exit status of a process."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_ranks(function, folder, environments):
    """Call a function in one new process per environment, in a folder."""
    logs = [folder / f'rank{rank}.log' for rank in range(len(environments))]
    children = [
        fork(function, folder, *given)
        for given in zip(logs, environments, strict=True)
    ]
    found = [wait(child) for child in children]
    assert not any(found), '\n'.join(log.read_text()[-3000:] for log in logs)


def free_port():
    """Return the variable of torch.distributed with a port that is free."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return dict(MASTER_PORT=str(free.getsockname()[1]))


def torchrun(number):
    """Return the variables that torchrun sets for each process."""
    given = dict(MASTER_ADDR='127.0.0.1', WORLD_SIZE=str(number))
    given |= free_port()
    return [
        given | dict(RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(number)
    ]
