"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
import os
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmdit.engine.distributed import prepare_launcher
from mmdit.engine.loading import use_safe_loading


def parse_args() -> argparse.Namespace:
    """Read the command line, with MMSegmentation's flags."""
    parser = argparse.ArgumentParser(description='Train a segmentor')
    parser.add_argument('config', help='train config file path')
    parser.add_argument('--work-dir', help='the dir to save logs and models')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='resume from the latest checkpoint in the work_dir, if any',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='enable automatic mixed precision training (GPU)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as key=value pairs: '
        'train_dataloader.batch_size=8 key="[(a,b),(c,d)]"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # torch.distributed.launch passes --local-rank instead of the variable.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


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
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    if args.amp:
        use_amp(cfg)
    cfg.resume = args.resume
    prepare_launcher(cfg)
    use_safe_loading()
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
