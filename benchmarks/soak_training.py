"""Train and evaluate a tiny model for hours, and record what it takes.

A call of the CSV is a training step. Workers are started for every
evaluation anew, checkpoints are written and removed, as in a long run.

Example: ``python benchmarks/soak_training.py --minutes 120 --out soak.csv``
"""

import argparse
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from soak import Recorder, make_parser

from mmdit.datasets.synthref import write_synthref
from mmdit.engine.loading import use_safe_loading
from mmdit.resources import resolve_config

_CONFIG = 'ldit_tiny_synthref-64x64'
_WORKERS = 2
# Steps between two evaluations, and two checkpoints.
_INTERVAL = 50


class CountHook(Hook):
    """Count training steps, and stop when the time is over."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def after_train_iter(self, runner: Runner, *args: Any, **kw: Any) -> None:
        """Called by the Runner."""
        self.recorder.count()
        if not self.recorder.running:
            loop: Any = runner.train_loop
            loop.stop_training = True


def make_config(folder: Path) -> Config:
    """Return the config of a run that would never end."""
    data = folder / 'synthref'
    if not data.is_dir():
        write_synthref(data, train=400, val=50)
    cfg = Config.fromfile(resolve_config(_CONFIG))
    cfg.work_dir = str(folder / 'run')
    cfg.model.text_encoder.vocab_file = str(data / 'vocab.txt')
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].num_workers = _WORKERS
        cfg[name].dataset.data_root = str(data)
    cfg.train_cfg.update(max_iters=10**9, val_interval=_INTERVAL)
    cfg.default_hooks.checkpoint.update(interval=_INTERVAL, save_best='mIoU')
    return cfg


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--folder',
        type=Path,
        default=Path('work_dirs/soak_training'),
        help='data set, logs and checkpoints',
    )
    return parser.parse_args()


def main() -> None:
    """Train until the time is over."""
    args = parse_args()
    cfg = make_config(args.folder.absolute())
    use_safe_loading()
    with Recorder(args.out, args.minutes, args.interval) as recorder:
        runner = Runner.from_cfg(cfg)
        runner.register_hook(CountHook(recorder))
        runner.train()


if __name__ == '__main__':
    main()
