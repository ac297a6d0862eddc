"""Kill training at chosen moments, resume it, compare with a whole run.

``python tests/engine/crashes.py --kills 200`` kills training 200 times: each
run is killed at random moments of several kinds, resumed each time, and
compared with a run that was never interrupted, bit by bit; for both loops,
without and with workers. Two runs meet every kind and both loops. It ends with
status 1 where a run differs. Runs are forked from a process that has imported
everything, and take a second each.
"""

import argparse
import gc
import importlib
import itertools
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdit.checkpoints.files import read_checkpoint
from mmdit.checkpoints.work_dir import find_checkpoint
from mmdit.engine import storage
from mmdit.engine.hooks import AtomicCheckpointHook
from mmdit.engine.loading import use_safe_loading
from mmdit.registry import DATASETS, METRICS, MODELS, TRANSFORMS

STEPS, EPOCH = 12, 4
PARTS = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
# Loops and numbers of workers, in turns.
WAYS = (('iterations', 0), ('epochs', 2), ('iterations', 2), ('epochs', 0))
# How often a run is killed: more than half the kinds.
KILLS_OF_A_RUN = 4
# What a run is killed at, each with the most often that it may come first.
# Small, so that most kinds come before the run has ended.
MOMENTS = {
    'step': 4,
    'epoch end': 1,
    'validation': 2,
    'writing': 1,
    'before last_checkpoint': 1,
    'writing the best': 1,
    'save_now': 4,
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(Hook):
    """Kills the process the ``count``-th time that a moment comes."""

    priority = 'VERY_HIGH'

    def __init__(self, moment, count):
        self.moment, self.count = moment, count
        if moment.startswith('writing'):
            put = storage.AtomicBackend.put
            storage.AtomicBackend.put = lambda *args: self.put(put, *args)
        write_last = AtomicCheckpointHook._write_last

        def killed(hook, runner):
            self.at('before last_checkpoint')
            write_last(hook, runner)

        AtomicCheckpointHook._write_last = killed

    def at(self, moment):
        if moment == self.moment:
            self.count -= 1
            if not self.count:
                die()

    def put(self, put, backend, content, path):
        best = Path(path).name.startswith('best_')
        if best == (self.moment == 'writing the best'):
            self.count -= 1
        if not self.count:
            half = Path(path).with_name(f'.{Path(path).name}.part')
            half.write_bytes(content[: len(content) // 2])
            die()
        put(backend, content, path)

    def after_train_iter(self, runner, *_, **__):
        self.at('step')

    def after_train_epoch(self, runner):
        self.at('epoch end')

    def after_val_iter(self, *_, **__):
        self.at('validation')


class Stopper(Hook):
    """Saves outside the interval, as on a signal, and dies."""

    priority = 'LOWEST'

    def __init__(self, count):
        self.count = count

    def after_train_iter(self, runner, *_, **__):
        self.count -= 1
        if not self.count:
            for hook in runner.hooks:
                if isinstance(hook, AtomicCheckpointHook):
                    hook.save_now(runner)
            die()


def make_config(segmentor, data, work_dir, loop, workers):
    """Return the config of a small run that draws whatever can be drawn."""
    by_epoch = loop == 'epochs'
    loader = dict(
        batch_size=1,
        num_workers=workers,
        persistent_workers=False,
        collate_fn=dict(type='mmdit.one_storage_collate'),
    )
    dataset = dict(type='RefCOCODataset', data_root=str(data))
    load, mask = dict(type='LoadReferImage'), dict(type='LoadReferMask')
    size = dict(type='Resize', scale=(32, 32), keep_ratio=True)
    draw = [dict(type='ReferColorJitter'), dict(type='ReferFlip', prob=0.5)]
    pack = dict(type='PackReferSegInputs')
    rates = dict(type='LinearLR', start_factor=0.1, by_epoch=by_epoch)
    return Config(
        dict(
            default_scope='mmdit',
            model=segmentor,
            work_dir=str(work_dir),
            train_dataloader=dict(
                **loader,
                sampler=dict(
                    type='DefaultSampler' if by_epoch else 'InfiniteSampler',
                    shuffle=True,
                ),
                dataset=dict(
                    **dataset,
                    split='train',
                    pipeline=[load, mask, size, *draw, pack],
                ),
            ),
            val_dataloader=dict(
                **loader,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(
                    **dataset,
                    split='val',
                    test_mode=True,
                    pipeline=[load, size, mask, pack],
                ),
            ),
            val_evaluator=dict(type='ReferIoUMetric'),
            train_cfg=dict(by_epoch=True, max_epochs=STEPS // EPOCH)
            if by_epoch
            else dict(by_epoch=False, max_iters=STEPS, val_interval=EPOCH),
            val_cfg=dict(),
            optim_wrapper=dict(optimizer=dict(type='Adam', lr=1e-2)),
            param_scheduler=[dict(**rates, begin=0, end=3)],
            custom_hooks=[
                dict(type='EMAHook', ema_type='MomentumAnnealingEMA')
            ],
            default_hooks=dict(
                checkpoint=dict(
                    type='AtomicCheckpointHook',
                    by_epoch=by_epoch,
                    interval=1 if by_epoch else EPOCH,
                    max_keep_ckpts=1,
                    save_best='mIoU',
                ),
                logger=dict(type='LoggerHook', interval=100),
            ),
            log_level='ERROR',
            randomness=dict(seed=3),
        )
    )


def train(cfg, moment=None, count=1):
    """Train in a process of its own; return the signal that ended it."""
    child = os.fork()
    if not child:
        try:
            signal.alarm(120)
            use_safe_loading()
            runner = Runner.from_cfg(cfg)
            if moment == 'save_now':
                runner.register_hook(Stopper(count))
            elif moment:
                runner.register_hook(Killer(moment, count))
            runner.train()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f'training in {cfg.work_dir} failed')
    return os.WTERMSIG(status)


def result(work_dir):
    """Return what a run has learned, and the name of its best checkpoint."""
    path = find_checkpoint(Path(work_dir))
    loaded = read_checkpoint(str(path))
    best = sorted(path.name for path in Path(work_dir).glob('best_*'))
    return dict(
        {part: loaded[part] for part in PARTS}, last=path.name, best=best
    )


def differences(one, other, place=''):
    """Name the places where two results differ, by a single bit."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [place]
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f'{place} (keys)']
        pairs = [(key, one[key], other[key]) for key in one]
    elif isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [f'{place} (length)']
        pairs = [
            (i, a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))
        ]
    else:
        return [] if one == other else [f'{place}: {one!r}, {other!r}']
    return [
        name
        for key, a, b in pairs
        for name in differences(a, b, f'{place}.{key}')
    ]


def kill_and_resume(cfg, whole, moments):
    """Kill a run at each of ``moments``, let it end, compare it."""
    shutil.rmtree(cfg.work_dir, ignore_errors=True)
    killed = 0
    for moment, count in moments:
        killed += train(cfg, moment, count) == signal.SIGKILL
        cfg.resume = 'auto'
    train(cfg)
    return killed, differences(whole, result(cfg.work_dir))


def draw_moments(draw):
    """Yield moments forever; every kind comes before any comes again."""
    while True:
        for kind in draw.sample(sorted(MOMENTS), len(MOMENTS)):
            yield kind, draw.randint(1, MOMENTS[kind])


def main():
    # Other folders of tests have a module 'conftest', too.
    made = runpy.run_path(str(Path(__file__).parents[1] / 'conftest.py'))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=int, default=28, help='at least')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    Runner._log_env = lambda *_: None  # it calls compilers
    for registry in (DATASETS, METRICS, MODELS, TRANSFORMS):
        registry.import_from_location()
    draw = random.Random(args.seed)
    folder = Path(tempfile.mkdtemp(prefix='crashes-'))
    data = made['write_tiny_refer'](folder / 'data')
    vocab = folder / 'vocab.txt'
    vocab.write_text('[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nbox\nleft\n')
    segmentor = made['make_tiny_segmentor'](str(vocab))
    segmentor['text_encoder']['config'].update(
        hidden_dropout_prob=0.1, num_hidden_layers=1
    )
    segmentor['backbone']['arch']['depth'] = 1
    segmentor['decode_head']['num_layers'] = 1
    # What a run imports late.
    for name in ('torch._dynamo', 'matplotlib.pyplot'):
        importlib.import_module(name)
    MODELS.build(segmentor)
    # Each data set that is built looks for garbage among all objects.
    gc.freeze()
    wholes, killed, differ = {}, 0, 0
    ways, left = itertools.cycle(WAYS), draw_moments(draw)
    while killed < args.kills:
        key = loop, workers = next(ways)
        cfg = make_config(segmentor, data, folder / f'{loop}{workers}', *key)
        if key not in wholes:
            train(cfg)
            wholes[key] = result(cfg.work_dir)
        moments = list(itertools.islice(left, KILLS_OF_A_RUN))
        number, found = kill_and_resume(cfg, wholes[key], moments)
        killed, differ = killed + number, differ + bool(found)
        sys.stdout.write(
            f'{loop}, {workers} workers, killed {number} times at {moments}: '
            f'{found[:3] or "equal"}\n'
        )
        sys.stdout.flush()
    shutil.rmtree(folder)
    sys.stdout.write(f'killed {killed} times, {differ} runs differ\n')
    return int(differ > 0)


if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parents[1]))
    raise SystemExit(main())
