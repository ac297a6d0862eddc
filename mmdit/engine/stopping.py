"""How a training run ends when it does not end by itself."""

import errno
import sys

from mmengine.config import Config
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner

from .hooks.health_hook import last_checkpoint
from .loading import SafeRunner
from .total_batch import describe_batch

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def train(cfg: Config) -> None:
    """Train; what goes wrong in the world outside ends in one sentence.

    The exit status is 1 then, and 128 + number after a signal.
    """
    runner = SafeRunner.from_cfg(cfg)
    if line := describe_batch(cfg, runner.world_size):
        runner.logger.info(line)  # of the main process alone
    try:
        runner.train()
    except FloatingPointError:
        sys.exit(1)  # HealthHook has said why
    except OSError as error:
        if error.errno not in _FULL:
            raise
        sys.exit(
            f'error: {runner.work_dir} takes no more ({error.strerror}): '
            'training stops. The last good checkpoint is '
            f'{last_checkpoint(runner)}; make room, and go on from it with '
            '--resume'
        )
    finally:
        end_workers(runner)


def end_workers(runner: Runner) -> None:
    """End the workers of a runner's data loaders.

    They would wait for garbage collection, which first ends the queues that
    tell them to stop, and then waits five seconds for each worker.
    """
    for loop in (runner._train_loop, runner._val_loop):
        if isinstance(loop, BaseLoop):
            loop.dataloader._iterator = None
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator._iterator = None
