"""Segment images from the shell: ``mmdit segment``, ``demo/image_demo.py``.

Nothing heavy is imported before the arguments have been read.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUICKSTART = 'work_dirs/quickstart'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command understands."""
    parser.description = 'Segment what expressions refer to.'
    parser.add_argument(
        'image', help='an image: path or URL; or a folder of images'
    )
    parser.add_argument(
        'expression', nargs='?', help='what to segment: "the man in red"'
    )
    parser.add_argument(
        '--expr',
        action='append',
        default=[],
        metavar='EXPRESSION',
        help='another expression about the same images; may be repeated',
    )
    parser.add_argument(
        '--model',
        default=QUICKSTART,
        help='config, name of the model zoo, or folder that tools/train.py '
        'wrote (default: %(default)s, the model of tools/quickstart.sh)',
    )
    parser.add_argument(
        '--weights',
        help='checkpoint: file, directory or URL (default: the last one of '
        'the folder, or load_from of the config)',
    )
    parser.add_argument(
        '--onnx',
        metavar='DIR',
        help='folder that tools/deployment/export.py wrote, to be run by ONNX '
        'Runtime on the CPU, without torch, instead of --model',
    )
    parser.add_argument(
        '--out-dir',
        default='outputs',
        help='folder for overlays/, masks/ and predictions.json '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--device',
        default='auto',
        help='cpu, cuda:0, ... (default: an accelerator where there is one)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        help='expressions at a time (default: that of the config)',
    )
    parser.add_argument(
        '--threshold',
        type=float,
        help='a pixel belongs to a mask where its probability exceeds this '
        "(default: the model's own)",
    )


def run(args: argparse.Namespace) -> int:
    """Answer the expressions, one line each; return the exit status.

    0: all were answered, also by empty masks; 1: an error, which one line on
    standard error explains.
    """
    try:
        if args.onnx is not None:
            _refuse_beside_onnx(args)
        elif args.model == QUICKSTART and not Path(QUICKSTART).is_dir():
            raise FileNotFoundError(
                f'{QUICKSTART} does not exist; run bash tools/quickstart.sh, '
                'or give --model and --weights'
            )
        _segment(args)
    except (
        ImportError,
        MemoryError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        sys.stderr.write(f'error: {error}\n')
        return 1
    return 0


def _refuse_beside_onnx(args: argparse.Namespace) -> None:
    """Refuse options that an exported model would not heed."""
    for name, given in (
        ('--model', args.model != QUICKSTART),
        ('--weights', args.weights is not None),
        ('--device', args.device not in ('auto', 'cpu')),
    ):
        if given:
            raise ValueError(
                f'{name} has no effect on the model of --onnx; leave one out'
            )


def _load(args: argparse.Namespace) -> Any:
    """Load whichever model is asked for."""
    if args.onnx is not None:
        from mmdit.export.runner import OnnxSegmenter

        return OnnxSegmenter(args.onnx)
    from mmdit.apis import ReferringSegInferencer

    return ReferringSegInferencer(args.model, args.weights, args.device)


def _segment(args: argparse.Namespace) -> None:
    """Ask the model and tell what it found."""
    results = _load(args)(
        args.image,
        [e for e in (args.expression, *args.expr) if e is not None],
        batch_size=args.batch_size,
        threshold=args.threshold,
        out_dir=args.out_dir,
    )
    for row in results['predictions']:
        found = 'nothing found'
        if row['box'] is not None:
            box = ','.join(map(str, row['box']))
            found = f'score {row["score"]:.3f}  box {box}'
        sys.stdout.write(f'{row["image"]}: {row["expression"]}: {found}\n')
    sys.stdout.write(f'written to {args.out_dir}\n')


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line and run it; return the exit status."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(argv)
    if args.expression is None and not args.expr:
        parser.error('no expression; give one after the image, in quotes')
    return run(args)


__all__ = ['add_arguments', 'main', 'run']
