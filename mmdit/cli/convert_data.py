"""``mmdit convert-data KIND SRC OUT.jsonl``: annotations of other tools."""

import argparse
import sys
from pathlib import Path

_KINDS = {
    'coco': "COCO's instances: a JSON file, or the folder of an export",
    'roboflow': 'a folder with _annotations.coco.json: train, valid or test '
    'of an export in COCO format',
    'labelme': 'a JSON file of labelme, or a folder of them',
    'cvat': 'annotations.xml of "CVAT for images 1.1", or its folder',
    'label-studio': 'the export "JSON" (not JSON-MIN), or its folder',
    'masks': 'a folder: images/, masks/ with PNG files and a .csv with the '
    'columns image and expression, and where they are needed mask (a file, '
    'by default the name of the image with .png) and id (value of the pixels)',
}
_EXAMPLES = 3


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write annotations of another tool as JSON lines '
        '(docs/own_data.md), which training reads. KIND is one of:\n\n'
        + '\n'.join(f'  {kind:<13} {text}' for kind, text in _KINDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='Exit status: 0 written, 1 nothing to write, 2 wrong '
        'arguments.',
    )
    parser.add_argument('kind', metavar='KIND', choices=_KINDS)
    parser.add_argument('source', metavar='SRC', type=Path)
    parser.add_argument('out', metavar='OUT.jsonl', type=Path)
    parser.add_argument(
        '--key',
        help='where an expression is: a key of the annotation (COCO), a '
        'column, an attribute (CVAT), or the name of a text area (Label '
        'Studio); default: caption, expression, sentences, text, description '
        'or whatever of the kind there is. "label": the label itself is the '
        'expression. "category": expressions are made of category names, and '
        'all objects of a category in an image are one mask; such '
        'expressions are weak: a model learns no more than names from them',
    )
    parser.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='where the images are (default: where the tool puts them)',
    )
    parser.add_argument(
        '--exif',
        choices=['upright', 'stored'],
        help='how masks were drawn on photos that viewers turn by their EXIF '
        'data (default: what the sizes tell, else what the tool does)',
    )
    parser.add_argument(
        '--val',
        type=Path,
        metavar='VAL.jsonl',
        help='keep some images out of OUT.jsonl, and write them here',
    )
    parser.add_argument(
        '--val-share',
        type=float,
        default=0.1,
        metavar='SHARE',
        help='share of the images that --val gets (default: %(default)s)',
    )
    args = parser.parse_args()
    if not 0 < args.val_share < 1:
        parser.error(f'--val-share is {args.val_share}, expected 0 to 1')
    if args.images is not None and not args.images.is_dir():
        parser.error(f'--images {args.images} is not a folder')
    return args


def main() -> None:
    """Convert, and say what was left out."""
    args = parse_args()
    from mmdit.datasets.converting import convert

    done = convert(**vars(args))
    for reason, cases in done.left_out.items():
        _tell(f'left out: {reason}', cases)
    _tell(
        'turned by viewers, and no size tells whether the masks are; set '
        '--exif if this is wrong',
        [f'{path}: {taken}' for path, taken in done.unsure.items()],
    )
    names = ' and '.join(str(p) for p in (args.out, args.val) if p)
    sys.stdout.write(f'{done.rows} rows, {done.images} images: {names}\n')


def _tell(what: str, cases: list[str]) -> None:
    """Name a kind of case, and some cases."""
    if cases:
        sys.stderr.write(f'{what} ({len(cases)})\n')
        sys.stderr.writelines(f'  {case}\n' for case in cases[:_EXAMPLES])
        if cases[_EXAMPLES:]:
            sys.stderr.write('  ...\n')
