"""``mmdit config NAME [OUT.py]``: show a config, or begin one on top of it."""

import argparse
import sys
from pathlib import Path

from mmengine.config import Config, DictAction

from mmdit.resources import resolve_config
from mmdit.version import __version__


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Print a config with all that it inherits; or write '
        'OUT.py, which inherits it wherever OUT.py lies.'
    )
    parser.add_argument(
        'config', help='path of a config, or the name of one of mmdit'
    )
    parser.add_argument('out', nargs='?', metavar='OUT.py', type=Path)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='show it with these settings',
    )
    args = parser.parse_args()
    if args.out is not None and args.cfg_options:
        parser.error(f'write the --cfg-options into {args.out} instead')
    if args.out is not None and args.out.suffix != '.py':
        parser.error(f'OUT is {args.out}, expected a name that ends in .py')
    return args


def main() -> None:
    """Print or write."""
    args = parse_args()
    path = resolve_config(args.config).absolute()
    if args.out is None:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(args.cfg_options or {})
        sys.stdout.write(cfg.pretty_text)
        return
    args.out.parent.mkdir(parents=True, exist_ok=True)
    # Never over what somebody has written into it.
    with args.out.open('x', encoding='utf-8') as file:
        file.write(
            f'# Of mmdit {__version__}; write what differs below.\n'
            f'_base_ = {str(path)!r}\n'
        )
    sys.stdout.write(f'{args.out} begins with {path}\n')
