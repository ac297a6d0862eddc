"""Score a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmdit.checkpoints.files import URL_SCHEMES
from mmdit.engine.distributed import prepare_launcher
from mmdit.engine.loading import use_safe_loading


def parse_args() -> argparse.Namespace:
    """Read the command line, with MMSegmentation's flags."""
    parser = argparse.ArgumentParser(description='Test (and eval) a model')
    parser.add_argument('config', help='test config file path')
    parser.add_argument('checkpoint', help='checkpoint file, directory or URL')
    parser.add_argument('--work-dir', help='the dir to save logs')
    parser.add_argument(
        '--out',
        help='write one row per expression (ids, expression, pixels, IoU) to '
        'this .json or .csv file',
    )
    parser.add_argument(
        '--show', action='store_true', help='show each picture in a window'
    )
    parser.add_argument(
        '--show-dir',
        help='write one picture per expression (image, truth, prediction) '
        'into this folder',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds that a window of --show stays',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as key=value pairs: '
        'test_dataloader.dataset.split=testA',
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


def main() -> None:
    """Build the Runner from the config and test."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    if not (
        args.checkpoint.startswith(URL_SCHEMES)
        or Path(args.checkpoint).exists()
    ):
        raise SystemExit(
            f'checkpoint {args.checkpoint!r} does not exist; give the path of '
            'a .pth file that tools/train.py wrote, or any other file, '
            'directory or URL that docs/checkpoints.md describes'
        )
    cfg.load_from = args.checkpoint
    if args.out is not None:
        cfg.test_evaluator.out_file = args.out
    if args.show or args.show_dir:
        cfg.default_hooks.visualization.update(
            draw=True,
            show=args.show,
            wait_time=args.wait_time,
            show_dir=args.show_dir,
        )
    prepare_launcher(cfg)
    use_safe_loading()
    Runner.from_cfg(cfg).test()


if __name__ == '__main__':
    main()
