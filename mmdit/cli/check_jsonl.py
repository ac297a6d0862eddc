"""Check JSON-lines data sets: every row, image and mask.

``mmdit check-data data/own/train.jsonl``; the format is in docs/own_data.md.
Of several files it also finds the images that they share.
"""

import argparse
from functools import partial
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmdit.datasets.checking import (
    LinesReport,
    check_jsonl,
    shared_images,
)
from mmdit.datasets.checking.printing import (
    add_options,
    find_mistake,
    show_problems,
    show_verdict,
    track,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] + ' See docs/own_data.md.'
    )
    parser.add_argument(
        'files', type=Path, nargs='+', metavar='FILE', help='JSON-lines file'
    )
    for name, key in (('image', 'img_path'), ('mask', 'mask_path')):
        parser.add_argument(
            f'--{name}-root',
            type=Path,
            metavar='DIR',
            help=f'what relative paths of {name}s start from, as '
            f'data_prefix.{key} in the config; by default the folder of the '
            'file',
        )
    add_options(parser)
    args = parser.parse_args()
    if message := find_mistake(args):
        parser.error(message)
    for name in ('image_root', 'mask_root'):
        folder = getattr(args, name)
        if folder is not None and not folder.is_dir():
            option = name.replace('_', '-')
            parser.error(f'--{option} {folder} is not a folder')
    for path in args.files:
        if not path.is_file():
            parser.error(f'{path} does not exist or is not a file')
    return args


def main() -> int:
    """Check the files, say what was found and return the exit status."""
    args = parse_args()
    out, err = Console(highlight=False), Console(stderr=True)
    reports: list[LinesReport] = []
    for path in args.files:
        report = check_jsonl(
            path,
            image_root=args.image_root,
            mask_root=args.mask_root,
            workers=args.workers,
            turn_by_exif=args.turn_by_exif,
            track=partial(track, err),
        )
        report.add(shared_images(report, reports))
        reports.append(report)
        out.print(Text(report.path, 'bold'), soft_wrap=True)
        show_contents(out, report)
        show_problems(out, report, args.examples)
        show_verdict(out, report)
    return int(any(report.broken for report in reports))


def show_contents(out: Console, report: LinesReport) -> None:
    """Print what the file holds."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_row('rows', f'{report.rows:,}')
    table.add_row('images', f'{len(report.images):,}')
    words = spread(report.words, 'words')
    table.add_row('expressions', f'{len(report.words):,} different; {words}')
    kinds = [f'{number:,} {kind}' for kind, number in report.masks.items()]
    table.add_row('masks', ', '.join(kinds) or 'none')
    areas = [100 * area for area in report.areas]
    table.add_row('mask area', spread(areas, '% of the image'))
    out.print(table)


def spread(values: list, unit: str) -> str:
    """Write the least, the median and the greatest value."""
    if not values:
        return 'unknown'
    low, middle, high = min(values), median(values), max(values)
    return f'{low:.3g} to {high:.3g} {unit}, median {middle:.3g}'
