"""What the command lines of training and testing have in common.

Nothing heavy is imported before the arguments have been read.
"""

import argparse
import os
import sys
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from mmdit.resources import resolve_config

AMP_DTYPES = ('bfloat16', 'float16')


def config_path(name: str) -> Path:
    """Resolve the argument CONFIG, or let argparse say what is wrong."""
    try:
        return resolve_config(name)
    except FileNotFoundError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_cfg_options(
    parser: argparse.ArgumentParser, example: str = ''
) -> None:
    """Add ``--cfg-options``, as MM projects have it.

    Args:
        parser: Where to.
        example: An override to show in the help.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config'
        + (f': {example}' if example else ''),
    )


def open_config(name: str | Path, options: dict | None = None) -> Config:
    """Read a config, change settings and enter its default scope.

    Args:
        name: Its path, or the name of one of mmdit.
        options: What ``--cfg-options`` gave.
    """
    cfg = Config.fromfile(resolve_config(name))
    if options:
        cfg.merge_from_dict(options)
    init_default_scope(cfg.get('default_scope', 'mmdit'))
    return cfg


class RunParser(argparse.ArgumentParser):
    """Parser with MMSegmentation's flags for a run of one config.

    Args:
        description: What the script does.
        example: Override to show in the help of ``--cfg-options``.
    """

    def __init__(self, description: str, example: str) -> None:
        super().__init__(description=description)
        self.add_argument(
            '--work-dir',
            help='folder of logs and checkpoints; by default that of the '
            "config, or the config's name in work_dirs",
        )
        add_cfg_options(self, example)
        self.add_argument(
            '--gpus',
            type=int,
            help='start so many processes on this machine, one per GPU; '
            'NNODES, NODE_RANK, MASTER_ADDR and PORT are for several machines',
        )
        self.add_argument(
            '--launcher',
            choices=['none', 'pytorch', 'slurm', 'mpi'],
            default='none',
            help='what has started this process, if anything has',
        )
        # torch.distributed.launch gives no variable, but --local-rank.
        self.add_argument(
            '--local_rank',
            '--local-rank',
            type=int,
            default=0,
            help=argparse.SUPPRESS,
        )

    def parse(self) -> argparse.Namespace:
        """Read the command line."""
        args = self.parse_args()
        if args.gpus is not None:
            if args.gpus < 1:
                self.error(f'--gpus is {args.gpus}, expected 1 or more')
            if args.launcher != 'none':
                self.error('--gpus is itself a launcher; leave out --launcher')
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
        return args


def launch(args: argparse.Namespace, module: str) -> None:
    """With ``--gpus``, replace this process by torchrun; else do nothing.

    Args:
        args: Of a :class:`RunParser`.
        module: What a new process runs, with the same command line.
    """
    if args.gpus is None:
        return
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument('--gpus')
    _, rest = own.parse_known_args()
    command = [
        *(sys.executable, '-m', 'mmdit.engine.launcher'),
        f'--nproc_per_node={args.gpus}',
        f'--nnodes={os.environ.get("NNODES", "1")}',
        f'--node_rank={os.environ.get("NODE_RANK", "0")}',
        f'--master_addr={os.environ.get("MASTER_ADDR", "127.0.0.1")}',
        f'--master_port={os.environ.get("PORT", "29500")}',
        *('-m', module, *rest, '--launcher', 'pytorch'),
    ]
    os.execv(sys.executable, command)


def read_config(args: argparse.Namespace) -> Config:
    """Read the config of a training and what the arguments say otherwise."""
    from mmdit.models.text_encoders.saving import (
        set_text_encoder,
        use_saved_text_encoder,
    )

    cfg = Config.fromfile(args.config)
    use_saved_text_encoder(cfg, args.config.parent, trains=True)
    if args.weights is not None:
        start = dict(type='mmdit.SAMPretrained', checkpoint=args.weights)
        cfg.model.init_cfg, cfg.load_from = start, None
    if args.text_encoder is not None:
        set_text_encoder(cfg, args.text_encoder)
    return apply_arguments(cfg, args)


def apply_arguments(cfg: Config, args: argparse.Namespace) -> Config:
    """Change a config as the arguments of :class:`RunParser` say."""
    from .distributed import use_launcher

    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = Path(cfg.filename or 'model').stem
        cfg.work_dir = str(Path('work_dirs') / name)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(key)
        if isinstance(loader, dict) and not loader.get('num_workers'):
            # PyTorch takes neither without workers.
            loader.pop('persistent_workers', None)
            loader.pop('prefetch_factor', None)
    use_launcher(cfg)
    # Also where a config has hooks of its own alone.
    hooks = cfg.setdefault('default_hooks', {})
    hooks.setdefault('settings', dict(type='mmdit.SettingsHook'))
    return cfg
