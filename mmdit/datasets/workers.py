"""Signals in the processes that load data, and ends of processes that help."""

import multiprocessing
import os
import signal
from threading import Thread

#: Seconds that a worker goes on after SIGTERM.
GRACE = 60


def outlive_signals() -> None:
    """Let this worker serve its process until that has saved a checkpoint.

    Terminals, Slurm and torchrun send a signal to whole groups of processes;
    training that loses a worker cannot finish its step. A worker ends with the
    process that it serves.
    """
    for name in ('SIGINT', 'SIGUSR1'):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # Elsewhere (macOS) PyTorch's own handler ends the worker.
    if hasattr(signal, 'sigwaitinfo'):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_wait_for_its_end, name='signals', daemon=True).start()


def _wait_for_its_end() -> None:
    """End with the process that is served, or some time after others say so.

    At its own end a process sends SIGTERM to its workers and waits for them.
    """
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        signal.alarm(GRACE)  # not for ever
    os._exit(0)


def end_with_parent() -> None:
    """Let this worker of a pool end with its process, however that ends.

    A worker whose process was killed would wait for a task for ever, and hold
    what it inherited, locks of files among it. The ``initializer`` of a pool.
    """
    Thread(target=_follow_parent, name='parent', daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
