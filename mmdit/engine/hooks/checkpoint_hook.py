"""Checkpoints that a crash cannot spoil, and that a run goes on from."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import (
    broadcast_object_list,
    get_world_size,
    is_main_process,
)
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from mmdit.checkpoints.work_dir import LAST, find_checkpoint
from mmdit.datasets.seeding import process_rank, seed_all, seed_items
from mmdit.files import replace_file
from mmdit.quiet import without_lines
from mmdit.registry import HOOKS

from ..storage import ATOMIC, AtomicBackend
from ..work_dir import claim_work_dir, release_work_dir

_STEP = re.compile(r'\d+(_iter_\d+)?')


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, safe against crashes.

    - A file is written beside its place, flushed to the disk and renamed; the
      old one is removed after the new one is there.
    - ``last_checkpoint`` is relative to the work dir.
    - ``resume=True`` without ``load_from`` goes on from the furthest
      checkpoint that can be read; ``resume='auto'`` starts from ``load_from``
      where there is none.
    - A run that goes on equals one that was never interrupted: every step and
      every item of data has its own seed, made of the run's seed, rank, epoch
      and position, and a validation that was cut off is repeated.
    - One run at a time uses a work dir.

    Args:
        backend_args: As in ``CheckpointHook``; by default files on disk.
        **kwargs: As in ``CheckpointHook``.
    """

    def __init__(
        self, *args: Any, backend_args: dict | None = None, **kwargs: Any
    ) -> None:
        backend_args = backend_args or dict(backend=ATOMIC)
        super().__init__(*args, backend_args=backend_args, **kwargs)
        self._steps_done = self._epochs_done = 0
        self._validating = False

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint to start from, and take the work dir."""
        if not isinstance(runner._train_loop, BaseLoop) or runner.iter:
            return  # a test, or scoring what was just trained
        chosen: list = [None]
        if is_main_process():
            chosen = [self._choose_start(runner)]
        broadcast_object_list(chosen)
        runner._load_from, runner._resume = chosen[0]
        self._first_seed = runner.seed
        model = getattr(runner.model, 'module', runner.model)
        if runner._load_from is not None and (
            runner._resume or getattr(model, 'loads_strictly', False)
        ):
            # All weights are in the checkpoint; the files that init_cfg
            # names may be elsewhere.
            model.init_weights = lambda: None

    def after_run(self, runner: Runner) -> None:
        """Give the work dir back."""
        release_work_dir(runner.work_dir)

    def _choose_start(self, runner: Runner) -> tuple[str | None, bool]:
        """Return what to load, and whether to go on from it."""
        load_from, resume = runner._load_from, bool(runner._resume)
        folder = None
        if resume and (load_from is None or runner._resume == 'auto'):
            folder = Path(runner.work_dir)
        elif resume and Path(load_from).is_dir():
            folder = Path(load_from)
        if folder is not None:
            found = find_checkpoint(folder)
            if found is None:
                runner.logger.info(
                    f'{folder} holds no checkpoint to resume from: training '
                    'starts from the beginning'
                )
            resume, load_from = found is not None, found or load_from
        start = Path(str(load_from)) if resume else None
        claim_work_dir(runner.work_dir, start)
        return load_from and str(load_from), resume

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Say what a run cannot go on from, or not in the same way."""
        if not runner._resume:
            return
        place = runner._load_from
        absent = [
            name
            for name in ('meta', 'message_hub', 'optimizer')
            if not isinstance(checkpoint.get(name), dict)
        ]
        if absent:
            raise ValueError(
                f'{place} holds no {", ".join(absent)}: training cannot '
                'resume from it; give it to load_from, without '
                'resume, to start from its weights'
            )
        before = checkpoint['meta'].get('world_size', get_world_size())
        if before != get_world_size():
            runner.logger.warning(
                f'{place} was written by {before} processes, now there are '
                f'{get_world_size()}: the items of each step and the total '
                'batch size differ from before'
            )

    def before_train(self, runner: Runner) -> None:
        """Seed the data, and finish what a crash has cut off."""
        info = runner.message_hub.runtime_info
        self._check_info(runner, info)
        # MMEngine makes one that it does not use, and warns of it.
        with without_lines(runner.logger, 'FileClient'):
            super().before_train(runner)
        self._steps_done, self._epochs_done = runner.iter, runner.epoch
        if runner._resume:
            self.last_ckpt = runner._load_from
        loop, loader = runner.train_loop, runner.train_dataloader
        size = getattr(loader.batch_sampler, 'batch_size', None) or 1
        places = dict(seed=runner.seed, epoch=runner.epoch)
        if isinstance(loop, EpochBasedTrainLoop):
            done = runner.iter - runner.epoch * len(loader)
            places['skip'] = size * done if 0 < done <= len(loader) else 0
        elif hasattr(loader.sampler, 'skip'):
            places['start'] = size * runner.iter
        if getattr(loader.sampler, 'seed', None) == self._first_seed:
            loader.sampler.seed = runner.seed
        seed_items(loader, **places)
        self._repeat_validation(runner)

    def _check_info(self, runner: Runner, info: dict) -> None:
        """Let a checkpoint name files of this run's folder only.

        MMEngine deletes what it names, and the folder may have been moved.
        """
        folder = Path(self.out_dir or runner.work_dir)
        for key in [key for key in info if key.startswith('best_ckpt')]:
            name = Path(str(info[key])).name
            if name.startswith('best_'):
                info[key] = str(folder / name)
            else:
                info.pop(key)
        if steps := info.get('keep_ckpt_ids'):
            steps = [step for step in steps if _STEP.fullmatch(str(step))]
            info['keep_ckpt_ids'] = steps

    def _repeat_validation(self, runner: Runner) -> None:
        """Validate where a run was cut off between a step and its scores."""
        loop, val_loop = runner.train_loop, runner.val_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        now = loop.epoch if by_epoch else loop.iter
        end = loop.max_epochs if by_epoch else loop.max_iters
        if by_epoch and loop.iter != now * len(loop.dataloader):
            return
        info = runner.message_hub.runtime_info
        if not now or val_loop is None or info.get('validated') == now:
            return
        loop._decide_current_val_interval()
        if now >= loop.val_begin and (
            now % loop.val_interval == 0 or now == end
        ):
            val_loop.run()

    def before_train_iter(
        self, runner: Runner, *args: Any, **kwargs: Any
    ) -> None:
        """Seed what the model draws in this step."""
        seed_all((runner.seed, 0, process_rank(), runner.iter, 2))

    def after_train_iter(
        self, runner: Runner, *args: Any, **kwargs: Any
    ) -> None:
        """Save, every so many steps."""
        self._steps_done = runner.iter + 1
        super().after_train_iter(runner, *args, **kwargs)

    def after_train_epoch(self, runner: Runner) -> None:
        """Save, every so many epochs."""
        self._epochs_done = runner.epoch + 1
        super().after_train_epoch(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Remember that averaged weights are in the model."""
        self._validating = True

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Save the best model."""
        self._validating = False
        if not hasattr(self, 'file_backend'):
            return  # Runner.val() alone: nothing has been trained.
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        runner.message_hub.update_info(
            'validated', runner.epoch if by_epoch else runner.iter
        )
        with without_lines(runner.logger, 'FileClient'):
            super().after_val_epoch(runner, metrics)
        self._remove_waiting()

    def save_now(self, runner: Runner) -> str:
        """Write a checkpoint of the last finished step, outside the interval.

        All ranks must call it, at one time: in ``after_train_iter`` from a
        hook of lower priority (``LOWEST``), or anywhere between steps, also
        during a validation.

        Returns:
            Its path.
        """
        steps, epoch = self._steps_done, self._epochs_done
        step: int | str = steps
        if self.by_epoch:
            whole = steps == epoch * len(runner.train_dataloader)
            step = epoch if whole else f'{epoch}_iter_{steps}'
        with self._own_weights(runner):
            self._save_checkpoint_with_step(
                runner, step, meta=dict(epoch=epoch, iter=steps)
            )
        return str(self.last_ckpt)

    @contextmanager
    def _own_weights(self, runner: Runner) -> Iterator[None]:
        """Take averaged weights out of the model for a while."""
        hooks = [
            hook
            for hook in runner.hooks
            if isinstance(hook, EMAHook) and self._validating
        ]
        for hook in hooks:
            hook._swap_ema_parameters()
        try:
            yield
        finally:
            for hook in hooks:
                hook._swap_ema_parameters()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note how many processes train."""
        checkpoint['meta']['world_size'] = get_world_size()

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int | str, meta: dict
    ) -> None:
        """Write a checkpoint, then remove the oldest."""
        old = []
        if self.max_keep_ckpts > 0:
            kept = [one for one in self.keep_ckpt_ids if one != step]
            kept = [*kept, step]
            # The file still names what is yet to be removed.
            runner.message_hub.update_info('keep_ckpt_ids', kept)
            old, kept = (
                kept[: -self.max_keep_ckpts],
                kept[-self.max_keep_ckpts :],
            )
            self.keep_ckpt_ids.clear()
            self.keep_ckpt_ids.extend(kept)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        with without_lines(runner.logger, 'FileClient'):
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
        if self.max_keep_ckpts > 0:
            runner.message_hub.update_info(
                'keep_ckpt_ids', list(self.keep_ckpt_ids)
            )
        if not is_main_process():
            return
        self._write_last(runner)
        for one in old:
            self.file_backend.remove(
                self.file_backend.join_path(
                    self.out_dir, self.filename_tmpl.format(one)
                )
            )
        self._remove_waiting()

    def _write_last(self, runner: Runner) -> None:
        """Let ``last_checkpoint`` name the newest one."""
        text = str(self.last_ckpt)
        if '://' not in text:
            text = os.path.relpath(text, runner.work_dir)
        replace_file(
            Path(runner.work_dir) / LAST, lambda path: path.write_text(text)
        )

    def _remove_waiting(self) -> None:
        """Remove old files, now that the new ones are there."""
        if isinstance(self.file_backend, AtomicBackend):
            best = getattr(self, 'best_ckpt_path_dict', {}).values()
            self.file_backend.remove_waiting(
                keep={getattr(self, 'best_ckpt_path', None), *best}
            )
