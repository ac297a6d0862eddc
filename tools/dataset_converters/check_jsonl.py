"""Check a JSON-lines data set: every row, image and mask.

``python tools/dataset_converters/check_jsonl.py data/own/train.jsonl``; the
format is in docs/own_data.md. Exit status: 0 usable, 1 not, 2 wrong arguments.
"""

import argparse
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from mmdit.datasets.jsonl import KINDS, JSONLReport, check_jsonl


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] + ' See docs/own_data.md.'
    )
    parser.add_argument('file', type=Path, help='the JSON-lines file')
    for name in ('image', 'mask'):
        parser.add_argument(
            f'--{name}-root',
            type=Path,
            metavar='DIR',
            help=f'what relative paths of {name}s start from, as '
            f'data_prefix.{name_of(name)} in the config; by default the '
            'folder of the file',
        )
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count() or 1,
        help='number of processes; by default one per CPU core',
    )
    parser.add_argument(
        '--examples',
        type=int,
        default=3,
        help='how many cases of each problem to show (default: 3)',
    )
    args = parser.parse_args()
    for name, least in (('workers', 1), ('examples', 0)):
        if getattr(args, name) < least:
            parser.error(
                f'--{name} is {getattr(args, name)}, expected {least} or more'
            )
    for name in ('image_root', 'mask_root'):
        folder = getattr(args, name)
        if folder is not None and not folder.is_dir():
            parser.error(f'--{name.replace("_", "-")} {folder} is no folder')
    if not args.file.is_file():
        parser.error(f'{args.file} does not exist or is no file')
    return args


def name_of(kind: str) -> str:
    """Return the key of ``data_prefix``."""
    return {'image': 'img_path', 'mask': 'mask_path'}[kind]


def main() -> int:
    """Check the file, say what was found and return the exit status."""
    args = parse_args()
    out, err = Console(highlight=False), Console(stderr=True)
    report = check_jsonl(
        args.file,
        image_root=args.image_root,
        mask_root=args.mask_root,
        workers=args.workers,
        track=partial(show_progress, err),
    )
    out.print(Text(report.path, 'bold'), soft_wrap=True)
    show_contents(out, report)
    if report.findings:
        show_problems(out, report)
        show_cases(out, report, args.examples)
    style = 'bold green' if report.usable else 'bold red'
    out.print(Text(verdict(report), style), soft_wrap=True)
    return int(not report.usable)


def show_progress(console: Console, items: Iterable, total: int) -> Iterable:
    """Iterate, with a line of progress that disappears at the end."""
    return track(
        items, 'opening images', total, console=console, transient=True
    )


def show_contents(out: Console, report: JSONLReport) -> None:
    """Print what the file holds."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_row('rows', f'{report.rows:,}')
    table.add_row('images', f'{report.images:,}')
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


def show_problems(out: Console, report: JSONLReport) -> None:
    """Print how many rows have each problem, and what to do."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0))
    for heading in ('', 'problem', 'rows', 'what to do'):
        table.add_column(
            heading, justify='right' if heading == 'rows' else 'left'
        )
    for kind, cases in report.by_kind().items():
        fatal, advice = KINDS[kind]
        level = Text('error', 'red') if fatal else Text('warning', 'yellow')
        rows = len({finding.line for finding in cases})
        table.add_row(level, kind, f'{rows:,}', Text(advice))
    out.print(table)


def show_cases(out: Console, report: JSONLReport, limit: int) -> None:
    """Print the first cases of each kind of problem."""
    for kind, cases in report.by_kind().items():
        if not limit:
            return
        out.print(Text(kind, 'bold'))
        for finding in cases[:limit]:
            case = Text(f'  line {finding.line}: {finding.case}')
            out.print(case, soft_wrap=True)
        if len(cases) > limit:
            more = f'... {len(cases) - limit:,} more; --examples N shows N'
            out.print(Text(f'  {more}', 'dim'))
    out.print()


def verdict(report: JSONLReport) -> str:
    """Return the last line."""
    broken, warned = (len(report.lines(fatal=f)) for f in (True, False))
    if not report.rows:
        return f'NOT USABLE: {report.path} has no rows'
    if broken:
        return (
            f'NOT USABLE: {broken:,} of {report.rows:,} rows have errors; '
            'correct them or leave them out'
        )
    more = f', {warned:,} with warnings' if warned else ''
    return f'USABLE: {report.rows:,} rows without errors{more}'


if __name__ == '__main__':
    raise SystemExit(main())
