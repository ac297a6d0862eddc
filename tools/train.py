"""Train a model: ``python tools/train.py CONFIG``."""

import argparse

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdit.engine.command_line import RunParser, read_config
from mmdit.engine.distributed import prepare_launcher
from mmdit.engine.loading import use_safe_loading


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = RunParser(
        'Train a model.',
        'train_dataloader.batch_size=8 key="[(a,b),(c,d)]"',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the last checkpoint in the work dir, if any',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in mixed precision (GPU)',
    )
    return parser.parse(__file__)


def use_amp(cfg: Config) -> None:
    """Exchange the optimizer wrapper for the mixed precision one."""
    if cfg.optim_wrapper.type == 'AmpOptimWrapper':
        return
    if cfg.optim_wrapper.type != 'OptimWrapper':
        raise SystemExit(
            '--amp needs optim_wrapper.type OptimWrapper in the config, got '
            f'{cfg.optim_wrapper.type}'
        )
    if not torch.cuda.is_available():
        raise SystemExit('--amp needs a GPU; leave it out on a CPU')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.loss_scale = 'dynamic'


def main() -> None:
    """Build the Runner from the config and train."""
    args = parse_args()
    cfg = read_config(args)
    if args.amp:
        use_amp(cfg)
    cfg.resume = args.resume
    prepare_launcher(cfg)
    use_safe_loading()
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
