"""Processes forked from the test's own: they have imported everything."""

import gc
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot  # noqa: F401
import torch
import torch._dynamo  # noqa: F401
from in_process import managers
from mmengine.runner import Runner
from mmengine.utils import ManagerMixin
from torch.distributed.elastic.multiprocessing.subprocess_handler import (
    subprocess_handler as starter,
)

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
        gc.freeze()  # looks for garbage would copy all memory
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
        status = stop.code or 0 if isinstance(stop.code, int | None) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        # Whatever happens, no second pytest may go on.
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(status if isinstance(status, int) else 1)


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


def script_command(script, *args):
    """Return what a script of tools/ replaces itself by, without Python."""
    python = Path(__file__).with_name('say_command.sh')
    process = subprocess.Popen(
        ['bash', script, *map(str, args)],
        env=os.environ | dict(PYTHON=str(python)),
        stdout=subprocess.PIPE,
        text=True,
    )
    (said, _), status = process.communicate(), process.returncode
    number, *command = said.splitlines()
    # Otherwise signals to the script would not arrive.
    assert (status, int(number)) == (0, process.pid)
    return command


def run_python(args):
    """Run what a Python with such arguments would; for a forked process."""
    os.execv = lambda path, command: sys.exit(run_python(command[1:]))
    starter.Popen = ForkedPython
    args = [str(arg) for arg in args if arg != '-u']
    if args[0] == '-m':
        sys.argv = args[1:]
        runpy.run_module(args[1], run_name='__main__', alter_sys=True)
    else:
        sys.argv = args
        runpy.run_path(args[0], run_name='__main__')


class ForkedPython:
    """What torchrun or another starts, in its own session, and waits for."""

    def __init__(self, args, env, stderr=None, **_):
        def run():
            os.setsid()
            run_python(args[1:])

        log = stderr.name if stderr else '/dev/fd/1'
        self.pid = fork(run, os.getcwd(), log, env)
        self.status = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wait()

    def poll(self):
        if self.status is None:
            child, status = os.waitpid(self.pid, os.WNOHANG)
            if child:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self, timeout=LIMIT):
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired('python', timeout)
            time.sleep(0.05)
        return self.status

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


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
