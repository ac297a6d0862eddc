"""End training at a signal: with a checkpoint, and a status that says why."""

import os
import signal
import threading
from types import FrameType
from typing import Any, NoReturn

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdit.registry import HOOKS

from ..sharding import FullySharded

#: SIGUSR1 is what Slurm sends ahead of a time limit, where it is told to.
SIGNALS = ('SIGTERM', 'SIGINT', 'SIGUSR1')


@HOOKS.register_module()
class SignalHook(Hook):
    """Save a checkpoint at SIGTERM, SIGINT or SIGUSR1, and exit.

    The exit status is 128 + the number of the signal, as shells count: 143,
    130 and 138. All ranks finish the step at which any of them learns of the
    signal. A validation is cut off; a run that resumes repeats it. A second
    SIGINT (Ctrl-C) stops at once.
    """

    # After all that belongs to a step.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._received = 0
        self._handlers: dict[int, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Listen to signals."""
        self._received = 0
        # Python allows no other thread to do so.
        if threading.current_thread() is threading.main_thread():
            for name in SIGNALS:
                number = getattr(signal, name, None)
                if number is not None:
                    handler = signal.signal(number, self._receive)
                    self._handlers[number] = handler

    def after_train(self, runner: Runner) -> None:
        """Leave signals to whoever had them."""
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal; at a second SIGINT, die of it."""
        if self._received and number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self._received:
            self._received = number
            if is_main_process():
                # Logging may be at work below this handler.
                text = f'\n{_name(number)}: stopping with a checkpoint\n'
                os.write(2, text.encode())

    def after_train_iter(
        self, runner: Runner, *args: Any, **kwargs: Any
    ) -> None:
        """Stop if any rank has got a signal."""
        number = torch.tensor(self._received)
        all_reduce(number, 'max')
        if number:
            self._stop(runner, int(number))

    def after_val_iter(
        self, runner: Runner, *args: Any, **kwargs: Any
    ) -> None:
        """Stop at once: ranks may validate different numbers of batches."""
        if isinstance(runner.model, FullySharded):
            self.after_train_iter(runner)  # here they do not
        elif self._received:
            self._stop(runner, self._received)

    def _stop(self, runner: Runner, number: int) -> NoReturn:
        """Save, say so, and exit."""
        status = 128 + number
        for hook in runner.hooks:
            if hasattr(hook, 'save_now'):
                told = f'saved {hook.save_now(runner)}'
                break
        else:
            told = 'no AtomicCheckpointHook, so nothing is saved'
        self.after_train(runner)
        runner.logger.info(
            f'{_name(number)}: {told}; go on from it with --resume. Exit '
            f'status {status}'
        )
        raise SystemExit(status)


def _name(number: int) -> str:
    return signal.Signals(number).name
