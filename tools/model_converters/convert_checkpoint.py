"""Convert checkpoints: ``python convert_checkpoint.py SRC DST``.

From Meta's SAM, transformers' SamModel or the DIT authors' files to mmdit's
names, or with ``--reverse`` to those of another project.
"""

import argparse
import sys
from pathlib import Path

from torch import Tensor

from mmdit.checkpoints.files import read_checkpoint
from mmdit.checkpoints.hf_config import make_hf_config
from mmdit.checkpoints.settings import KEY, recorded_settings
from mmdit.checkpoints.sources import SOURCES, from_mmdit, to_mmdit
from mmdit.checkpoints.writing import (
    check_destination,
    write_file,
    write_hf_directory,
)

ORIGIN = 'converted_from'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='file, directory (transformers) or URL')
    parser.add_argument(
        'dst',
        help='.pth or .safetensors file; with --target hf-sam also a directory'
        ' that SamModel.from_pretrained opens',
    )
    parser.add_argument(
        '--source',
        default='auto',
        choices=['auto', *SOURCES],
        help='kind of SRC; auto tells by its keys',
    )
    parser.add_argument(
        '--reverse',
        action='store_true',
        help="write another project's names instead of mmdit's",
    )
    parser.add_argument(
        '--target',
        choices=[name for name in SOURCES if name != 'mmdit'],
        help='with --reverse: whose names; may be left out where SRC was '
        'converted to .pth by this script, and then goes back to its origin',
    )
    parser.add_argument(
        '--hf-config',
        help='config.json of a SamModel, or its directory, for --target '
        'hf-sam; not needed for ViT-B, L and H',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace DST if it exists'
    )
    args = parser.parse_args()
    if args.target and not args.reverse:
        parser.error('--target goes with --reverse')
    if args.hf_config and not args.reverse:
        parser.error('--hf-config goes with --reverse --target hf-sam')
    return args


def choose_target(args: argparse.Namespace, meta: dict) -> str:
    """Name the kind of checkpoint to write."""
    if not args.reverse:
        return 'mmdit'
    target = args.target or meta.get(ORIGIN)
    if target not in SOURCES or target == 'mmdit':
        raise ValueError(
            f'{args.src} does not say what it was converted from; give '
            '--target'
        )
    return target


def write(
    args: argparse.Namespace,
    target: str,
    source: str,
    state_dict: dict[str, Tensor],
    settings: dict,
) -> None:
    """Write ``state_dict`` to DST the way its target's users read it."""
    dst = Path(args.dst)
    if target == 'hf-sam' and not dst.suffix:
        config = make_hf_config(state_dict, args.hf_config)
        write_hf_directory(dst, state_dict, config)
        return
    if args.hf_config:
        raise ValueError(
            f'--hf-config is for a directory of hf-sam, got {args.dst}'
        )
    # Meta and transformers read bare state dicts.
    bare = target in ('sam', 'hf-sam')
    meta: dict = {ORIGIN: source}
    if settings:
        meta[KEY] = settings
    write_file(dst, state_dict, None if bare else dict(meta=meta))


def convert(args: argparse.Namespace) -> None:
    """Read, rename, write and report."""
    checkpoint = read_checkpoint(args.src)
    meta = checkpoint.get('meta')
    target = choose_target(args, meta if isinstance(meta, dict) else {})
    check_destination(Path(args.dst), target, args.overwrite)
    given = checkpoint['state_dict']
    source, renamed = to_mmdit(given, args.source)
    print(f'{args.src}: {SOURCES[source].title}, {len(given)} tensors')
    lines = renamed.describe_dropped()
    if target != 'mmdit':
        renamed = from_mmdit(renamed.state_dict, target)
        lines += renamed.describe_dropped()
    for line in lines:
        print(line)
    settings = recorded_settings(checkpoint)
    write(args, target, source, renamed.state_dict, settings)
    print(
        f'{args.dst}: {SOURCES[target].title}, '
        f'{len(renamed.state_dict)} tensors'
    )


def main() -> None:
    """Convert, or say in one line what is wrong."""
    args = parse_args()
    try:
        convert(args)
    except (ValueError, KeyError, OSError, ImportError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        sys.exit(f'error: {reason}')


if __name__ == '__main__':
    main()
