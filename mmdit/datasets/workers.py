"""Signals in the processes that load data."""

import signal

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
    if hasattr(signal, 'alarm'):
        # Not for ever: PyTorch ends workers that hang in the same way.
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))


__all__ = ['outlive_signals']
