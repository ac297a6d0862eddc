"""What the command line tools of both checkers have in common."""

import argparse
import os
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from .report import KINDS, Report

_STYLES = {'broken': 'bold red', 'warning': 'yellow', 'note': 'cyan'}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that both tools have."""
    parser.add_argument(
        '--turn-by-exif',
        action='store_true',
        help='masks fit the images as viewers turn them, as with '
        'turn_by_exif=True of LoadReferImage in the config',
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


def find_mistake(args: argparse.Namespace) -> str:
    """Say what is wrong with those options, if anything is."""
    for name, least in (('workers', 1), ('examples', 0)):
        if getattr(args, name) < least:
            return f'--{name} is {getattr(args, name)}, expected {least} or up'
    return ''


def track(
    console: Console, items: Iterable, total: int, description: str
) -> Iterator:
    """Show a progress bar, on a terminal only."""
    # No refresh thread: it could hold a lock when a worker is forked.
    with Progress(
        console=console,
        auto_refresh=False,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(description, total=total)
        step = max(1, total // 200)
        for number, item in enumerate(items, 1):
            yield item
            if number % step == 0:
                progress.update(task, completed=number, refresh=True)


def show_problems(out: Console, report: Report, examples: int) -> None:
    """Print the problems of a data set, with some cases of each."""
    for kind, (level, advice) in KINDS.items():
        cases = report.problems.get(kind, [])
        if not cases:
            continue
        line = Text(f'  {level}: ', _STYLES[level])
        line.append(f'{kind} ({len(cases):,})', 'bold')
        line.append(f': {advice}' if advice else '')
        out.print(line, soft_wrap=True)
        for case in cases[:examples]:
            out.print(Text(f'    {case}'), soft_wrap=True)
        if rest := len(cases) - len(cases[:examples]):
            out.print(
                Text(f'    ... and {rest:,} more (--examples N shows N)')
            )
    out.print()


def show_verdict(out: Console, report: Report) -> None:
    """Print the result in one line."""
    style = 'bold red' if report.broken else 'bold green'
    out.print(Text(report.verdict, style), soft_wrap=True)
