"""Stop training that has gone wrong, before it spoils what was good."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdit.checkpoints.strict import check_finite
from mmdit.registry import HOOKS

SHOWN = 4


@HOOKS.register_module()
class HealthHook(Hook):
    """Raise where the loss stays NaN or infinite, or the weights become so.

    All ranks stop at the same step. Infinite gradients of float16 are left to
    the scaling of the loss, which skips such steps. Weights that are no
    numbers are never saved.

    Args:
        patience: Steps in a row without a finite loss until training stops.
    """

    # Before checkpoints are written.
    priority = 'LOW'

    def __init__(self, patience: int = 3) -> None:
        if patience < 1:
            raise ValueError(
                f'patience of HealthHook must be 1 or more, got {patience}'
            )
        self.patience = patience
        self._in_a_row = 0

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Count the steps without a finite loss on any rank."""
        loss = torch.as_tensor((outputs or {}).get('loss', 0.0)).item()
        wrong = torch.tensor(int(not math.isfinite(loss)))
        all_reduce(wrong, 'max')
        self._in_a_row = self._in_a_row + 1 if wrong else 0
        if self._in_a_row < self.patience:
            return
        rates = sorted(
            {
                rate
                for group in runner.optim_wrapper.get_lr().values()
                for rate in group
            }
        )
        self._stop(
            runner,
            f'the loss was not finite in {self._in_a_row} steps in a row, up '
            f'to iteration {runner.iter + 1} ({loss} here); learning rate '
            f'{", ".join(f"{rate:g}" for rate in rates)}; items of the batch: '
            f'{_name_items(data_batch)}',
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Reject weights that are not numbers."""
        for part in ('state_dict', 'ema_state_dict'):
            try:
                check_finite(checkpoint.get(part, {}))
            except ValueError as error:
                self._stop(runner, f'nothing is saved: {error}')

    def _stop(self, runner: Runner, reason: str) -> NoReturn:
        message = (
            f'{reason}. Training stops; the last good checkpoint is '
            f'{last_checkpoint(runner)}. Lower the learning rate, or look at '
            'the data'
        )
        runner.logger.error(message)
        raise FloatingPointError(message)


def last_checkpoint(runner: Runner) -> str:
    """Name the last checkpoint that was written completely."""
    folder = Path(runner.work_dir)
    try:
        return str(folder / (folder / 'last_checkpoint').read_text().strip())
    except OSError:
        return 'none yet'


def _name_items(data_batch: Any) -> str:
    """Name the first items of a batch."""
    given = isinstance(data_batch, Mapping)
    samples = data_batch.get('data_samples', ()) if given else ()
    names = [
        f'{sample.get("img_path")}: {sample.get("expression")!r}'
        for sample in samples
        if hasattr(sample, 'get')
    ]
    more = f' and {len(names) - SHOWN} more' * (len(names) > SHOWN)
    return ('; '.join(names[:SHOWN]) or 'unknown') + more
