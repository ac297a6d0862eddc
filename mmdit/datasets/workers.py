"""Signals in the processes that load data."""

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
