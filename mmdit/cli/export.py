"""``mmdit export``: write a model as ONNX or programs of ``torch.export``.

``docs/export.md`` says what is written, and how to run it. Nothing heavy is
imported before the arguments have been read.
"""

import argparse
from pathlib import Path

from mmdit.cli.naming import add_model, load_model, require_model
from mmdit.export import FORMATS, OPSET
from mmdit.runtime.settings import INT8, ONNX

# Of probabilities, and of the text.
TOLERANCE = 1e-4
CHECKED = ('text', 'probabilities')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write a model as ONNX or as programs of torch.export.',
        epilog='Exit status: 0 written, and equal where it was compared; 1 '
        'not; 2 wrong arguments.',
    )
    add_model(parser)
    parser.add_argument(
        '--out-dir',
        type=Path,
        help="folder to write (default: onnx/ in a model's own folder, as "
        'mmdit.hub.save_pretrained writes it)',
    )
    parser.add_argument(
        '--format',
        default='onnx',
        choices=FORMATS,
        help='ONNX, torch.export (.pt2) or both (default: %(default)s)',
    )
    parser.add_argument(
        '--opset',
        type=int,
        default=OPSET,
        help="version of ONNX's operators (default: %(default)s)",
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='write ONNX with int8 weights, too: smaller, for CPUs, with '
        'predictions that differ a little',
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help='run what was written beside the model, print the largest '
        f'differences, and fail if one of float32 exceeds {TOLERANCE:g}',
    )
    return parser.parse_args()


def main() -> None:
    """Write, report, and compare."""
    args = parse_args()
    from mmdit.export.check import largest_differences, open_file
    from mmdit.export.folder import export_model
    from mmdit.export.modules import make_parts

    folder = args.out_dir or default_folder(args)
    inferencer = load_model(args, 'cpu')
    model = inferencer.model
    paths = export_model(
        model, inferencer.cfg, folder, args.format, args.opset, args.int8
    )
    parts = {part.name: part for part in make_parts(model)}
    equal = True
    for path in paths:
        line = f'{path}: {path.stat().st_size / 1e6:.1f} MB'
        if path.suffix == '.onnx':
            line += f', opset {args.opset}'
        if args.verify:
            part = parts[path.name.partition('.')[0]]
            found = largest_differences(part, open_file(part, path))
            line += ''.join(f', {k} {v:.1e}' for k, v in found.items())
            if not path.name.endswith(INT8):
                equal &= all(found.get(k, 0) <= TOLERANCE for k in CHECKED)
        print(line)
    if not equal:
        raise ValueError(f'a difference exceeds {TOLERANCE:g}')


def default_folder(args: argparse.Namespace) -> Path:
    """Return where the files of a model's own folder go."""
    from mmdit.hub.folder import is_model_folder

    model, _ = require_model(args)
    if isinstance(model, str) and is_model_folder(Path(model)):
        return Path(model, ONNX)
    raise ValueError(
        'nowhere to write to; give --out-dir, or a folder that '
        'mmdit.hub.save_pretrained wrote as MODEL'
    )
