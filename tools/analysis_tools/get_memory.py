"""Print the memory of a training step: ``get_memory.py CONFIG [CONFIG ...]``.

Says whether a config fits a GPU without having one: the step is run on tensors
that have shapes and no memory (``mmdit/models/memory.py`` says what counts and
what does not; leave a tenth for the allocator and the kernels). Activations
are what the peak adds to the rest.
"""

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mmdit.engine.command_line import add_cfg_options, open_config
from mmdit.models.memory import count_memory

COLUMNS = (
    'weights',
    'gradients, optimizer',
    'activations',
    'average',
    'DDP',
    'total',
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Print the memory per GPU of a training step, in GiB',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument(
        '--batch-size',
        type=int,
        help='images per GPU; the default is that of each config',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='input size in pixels; the default is that of each config',
    )
    parser.add_argument(
        '--dtype',
        choices=['float32', 'bfloat16', 'float16'],
        default='bfloat16',
        help='type of the products, that of mmdit train --amp',
    )
    parser.add_argument(
        '--gpus', type=int, default=1, help='more than one add DDP buckets'
    )
    add_cfg_options(parser, 'model.backbone.with_cp=True')
    return parser.parse_args()


def count(path: str, args: argparse.Namespace) -> tuple[str, list[float]]:
    """Return what is counted, and the GiB of each of ``COLUMNS``."""
    try:
        cfg = open_config(path, args.cfg_options)
        batch = args.batch_size or cfg.train_dataloader.batch_size
        size = tuple(args.shape or cfg.model.data_preprocessor.size)
        memory = count_memory(
            cfg.model.to_dict(),
            batch,
            size,
            getattr(torch, args.dtype),
            cfg.optim_wrapper.optimizer.to_dict(),
        )
    except (OSError, ValueError) as error:
        raise SystemExit(f'cannot count {path}: {error}') from None
    hooks = [hook['type'] for hook in cfg.get('custom_hooks', [])]
    parts = [
        memory.parameters,
        memory.state,
        memory.peak - memory.parameters - memory.state,
        memory.parameters if 'EMAHook' in hooks else 0,
        memory.gradients if args.gpus > 1 else 0,
    ]
    name = f'{Path(path).stem}, {batch} x {size[0]}x{size[1]}'
    return name, [part / 2**30 for part in [*parts, sum(parts)]]


def main() -> None:
    """Count every config and print the table."""
    args = parse_args()
    table = Table(title=f'GiB per GPU, {args.dtype}', title_justify='left')
    table.add_column('', no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify='right')
    for path in args.configs:
        name, parts = count(path, args)
        table.add_row(name, *(f'{part:.1f}' for part in parts))
    console = Console()
    console.width = max(console.width, 140)  # as wide as the table
    console.print(table)


if __name__ == '__main__':
    main()
