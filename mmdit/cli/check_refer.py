"""Check data sets in the format of RefCOCO or gRefCOCO.

``mmdit check-data data/refer`` checks every data set below the folder;
docs/prepare_data.md explains each check.
"""

import argparse
import json
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmdit.datasets.checking import (
    IMAGE_FOLDERS,
    Counts,
    Leak,
    SetReport,
    check_set,
    find_leaks,
    find_sets,
)
from mmdit.datasets.checking.printing import (
    add_options,
    find_mistake,
    show_problems,
    show_verdict,
    track,
)
from mmdit.files import write_text


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] + ' See docs/prepare_data.md.'
    )
    parser.add_argument(
        'data_root', type=Path, help='folder of the data sets, as in configs'
    )
    parser.add_argument(
        '--dataset',
        nargs='+',
        default=[],
        metavar='NAME',
        help='the folders to check; by default every one that holds refs(*)',
    )
    parser.add_argument(
        '--split-by',
        nargs='+',
        default=[],
        metavar='NAME',
        help='the names in brackets, such as unc; by default all there are',
    )
    parser.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='folder of the images; by default images/train2014 in the '
        'folder, images/saiapr_tc-12 for refclef, images for other names',
    )
    parser.add_argument(
        '--skip-images', action='store_true', help='need no image files'
    )
    parser.add_argument(
        '--skip-masks', action='store_true', help='draw no masks'
    )
    add_options(parser)
    parser.add_argument(
        '--report',
        type=Path,
        metavar='FILE.json',
        help='write everything that was found',
    )
    args = parser.parse_args()
    args.sets = find_sets(args.data_root, args.dataset, args.split_by)
    if message := _find_mistake(args):
        parser.error(message)
    return args


def main() -> int:
    """Check all, say what was found and return the exit status."""
    args = parse_args()
    out, err = Console(highlight=False), Console(stderr=True)
    reports = []
    for dataset, split_by in args.sets:
        report = check_set(
            args.data_root,
            dataset,
            split_by,
            image_folder=args.images,
            skip_images=args.skip_images,
            skip_masks=args.skip_masks,
            workers=args.workers,
            turn_by_exif=args.turn_by_exif,
            track=partial(track, err),
        )
        show_report(out, report, args.examples)
        reports.append(report)
    leaks = find_leaks(reports)
    show_leaks(out, leaks)
    for report in reports:
        show_verdict(out, report)
    if args.report is not None:
        write_report(args.report, args.data_root, reports, leaks)
        out.print(Text(f'everything that was found: {args.report}'))
    return int(any(report.broken for report in reports))


def _find_mistake(args: argparse.Namespace) -> str:
    """Say what is wrong with the arguments, if anything is."""
    root = args.data_root
    if not root.is_dir():
        return f'{root} is not a folder; expected the folder of the data sets'
    if not args.sets:
        hint = f'expected {", ".join(IMAGE_FOLDERS)} in it'
        if args.split_by:
            hint += f', split by {" or ".join(args.split_by)}'
        if (root / 'instances.json').is_file():
            hint = f'it is one itself, so name {root.resolve().parent}'
        return f'{root} holds no data set: {hint} (docs/prepare_data.md)'
    for name in args.dataset:
        if not (root / name).is_dir():
            here = ', '.join(dict(find_sets(root))) or 'no data set'
            return f'--dataset {name}: {root} holds {here}'
    if args.images is not None and not args.images.is_dir():
        return f'--images {args.images} is not a folder'
    return find_mistake(args)


def show_report(out: Console, report: SetReport, examples: int) -> None:
    """Print the counts and problems of a data set."""
    out.print(Text(report.name, 'bold'))
    if report.counts:
        out.print(_count_table(report))
    show_problems(out, report, examples)


def _count_table(report: SetReport) -> Table:
    """Return the counts of each split beside the published ones."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column('split')
    for name in Counts._fields:
        table.add_column(name, justify='right')
        table.add_column('public', justify='right', style='dim')
    splits = [*report.public, *report.counts]
    # Each once, 'all' at the end.
    for split in sorted(dict.fromkeys(splits), key=lambda s: s == 'all'):
        got = report.counts.get(split, Counts(0, 0, 0))
        public = report.public.get(split, Counts(None, None, None))
        cells = [split]
        for number, expected in zip(got, public, strict=True):
            cells.append(f'{number:,}')
            cells.append('-' if expected is None else f'{expected:,}')
        style = 'yellow' if split in report.different else None
        table.add_row(*cells, style=style, end_section=split == 'all')
    return table


def show_leaks(out: Console, leaks: list[Leak]) -> None:
    """Print which training images other data sets hold out."""
    if not leaks:
        return
    out.print(
        '[bold]Training images that another data set holds out[/]: joint '
        'training must\nleave them out, as JointRefCOCODataset does.'
    )
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column('train images of')
    table.add_column('held out by')
    table.add_column('images', justify='right')
    table.add_column('of', justify='right')
    for leak in leaks:
        counts = f'{leak.images:,}', f'{leak.train_images:,}'
        table.add_row(leak.train, leak.held_out, *counts)
    out.print(table)
    out.print()


def write_report(
    path: Path, root: Path, reports: list[SetReport], leaks: list[Leak]
) -> None:
    """Write everything as JSON, every case of every problem included."""
    content = dict(
        data_root=str(root),
        sets=[
            dict(
                dataset=report.dataset,
                split_by=report.split_by,
                verdict=report.verdict,
                status=report.status,
                broken=report.broken,
                counts={k: v._asdict() for k, v in report.counts.items()},
                public={k: v._asdict() for k, v in report.public.items()},
                problems=report.problems,
                unchecked=report.unchecked,
            )
            for report in reports
        ],
        leaks=[leak._asdict() for leak in leaks],
    )
    write_text(path, json.dumps(content, indent=1))
