"""Measure and test everything that needs a GPU, in less than eight minutes.

``python benchmarks/gpu.py`` runs each section of ``gpu_sections.py`` in a
process and a time of its own. One that fails, or runs out of its time, is
an entry that says so, with the rows that it had by then. What is printed is
one table, in Markdown; what is written is one JSON. ``gpu.sh`` calls it on a
machine that has no network.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from machine import commit, cpu_name

LIMIT = 450  # seconds, of all sections
# Of each, in order, its start included; what comes last may get less.
SECONDS = dict(
    attention=50,
    step=45,
    encoder=35,
    inference=35,
    tests=110,
    memory=30,
    flex=60,
    compiled=75,
    counted=60,
)
COLUMNS = (
    'section',
    'what',
    'who',
    'in',
    'median',
    'images/s',
    'ratio',
    'of products',
    'peak',
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--sections', nargs='+', choices=SECONDS, default=list(SECONDS)
    )
    gpu = torch.cuda.is_available()
    parser.add_argument('--device', default='cuda' if gpu else 'cpu')
    parser.add_argument(
        '--quick', action='store_true', help='tiny sizes, to try the script'
    )
    parser.add_argument(
        '--patience', type=float, default=1.0, help='factor of all times'
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/gpu.json'))
    parser.add_argument('--into', type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def describe_machine(device: str) -> dict[str, Any]:
    """Name the card, its driver and what computes on it."""
    named = dict(
        commit=commit(),
        device=cpu_name(),
        torch=torch.__version__,
        python=sys.version.split()[0],
    )
    if device.startswith('cuda'):
        named.update(zip(('device', 'driver', 'memory'), card(), strict=False))
        named['cuda'] = torch.version.cuda
    return named


def card() -> list[str]:
    """Return name, driver and memory of the first card, as far as is told."""
    asked = 'name,driver_version,memory.total'
    command = ['nvidia-smi', f'--query-gpu={asked}', '--format=csv,noheader']
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout.splitlines()[0].split(', ')
    except (OSError, IndexError):
        return [torch.cuda.get_device_name()]


def run_section(name: str, args: argparse.Namespace, seconds: float) -> dict:
    """Run a section in a process of its own; return its entry.

    Args:
        name: A key of ``SECONDS``.
        args: The command line.
        seconds: How long it may take.
    """
    rows = args.out.with_suffix(f'.{name}.jsonl')
    rows.unlink(missing_ok=True)
    log = args.out.with_suffix(f'.{name}.log')
    start = time.perf_counter()
    with log.open('w') as file:
        # A group of its own, because compilers have workers.
        process = subprocess.Popen(
            section_command(name, args, rows),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
            state = 'finished' if status == 0 else 'failed'
        except subprocess.TimeoutExpired:
            state = 'not finished'
        finally:
            # Also where this process is interrupted.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    entry: dict[str, Any] = dict(
        section=name,
        state=state,
        seconds=round(time.perf_counter() - start, 1),
        rows=[],
    )
    if rows.exists():
        lines = rows.read_text().splitlines(keepends=True)
        # The last may have been cut by the kill.
        entry['rows'] = [json.loads(x) for x in lines if x.endswith('\n')]
        rows.unlink()
    if state != 'finished':
        entry['error'] = log.read_text(errors='replace')[-2000:]
    return entry


def section_command(
    name: str, args: argparse.Namespace, rows: Path
) -> list[str]:
    """Return the command that runs a section and writes its rows."""
    command = [sys.executable, __file__, '--sections', name]
    command += ['--device', args.device, '--into', str(rows)]
    return [*command, '--quick'] if args.quick else command


def write_rows(name: str, args: argparse.Namespace) -> None:
    """Run a section here, writing each row when it is there."""
    from gpu_sections import SECTIONS, make_plan

    plan = make_plan(args.device, args.quick)
    with args.into.open('w') as file:
        for row in SECTIONS[name](plan):
            file.write(json.dumps(row) + '\n')
            file.flush()


def format_table(report: dict) -> str:
    """Write all rows, and what became of each section, as Markdown."""
    lines = [
        ', '.join(f'{k} {v}' for k, v in report['machine'].items()),
        '',
        '| ' + ' | '.join(COLUMNS) + ' |',
        '|---' * 4 + '|---:' * (len(COLUMNS) - 4) + '|',
    ]
    for entry in report['sections']:
        for row in entry['rows']:
            lines.append('| ' + ' | '.join(format_row(entry, row)) + ' |')
        said = f'{entry["state"]}, {entry["seconds"]:.0f} s'
        for line in entry.get('error', '').strip().splitlines()[-1:]:
            said += f': {line[:200]}'
        lines.append(f'| {entry["section"]} | {_cell(said)} |')
    return '\n'.join(lines)


def format_row(entry: dict, row: dict) -> list[str]:
    """Return the cells of a row."""
    what = row['case']
    if 'arch' in row:
        what += f', ViT-{row["arch"]}, {row["batch"]} x {row["size"]} px, '
        what += row['measured']
    cells = [entry['section'], what, row['contender'], row.get('dtype', '')]
    if 'error' in row:
        return [_cell(cell) for cell in (*cells, row['error'])]
    numbers = [''] * 5
    if 'median' in row:
        numbers[0] = f'{row["median"] * 1e3:.2f} ms'
        if 'batch' in row:
            numbers[1] = f'{row["batch"] / row["median"]:.0f}'
    if 'ratio' in row:
        numbers[2] = f'{row["ratio"]:.2f}x'
    if row.get('share'):
        numbers[3] = f'{row["share"]:.0%}'
    if 'peak_mib' in row:
        numbers[4] = f'{row["peak_mib"]:.0f} MiB'
    return [_cell(cell) for cell in (*cells, *numbers)]


def _cell(text: str) -> str:
    """Keep a text within its cell."""
    return ' '.join(text.replace('|', '/').split())


def main() -> int:
    """Run the sections, print and write what they say.

    Returns:
        The exit status: 1 where a section failed, else 0.
    """
    args = parse_args()
    if args.into is not None:
        write_rows(args.sections[0], args)
        return 0
    stop = time.perf_counter() + LIMIT * args.patience
    args.out.parent.mkdir(parents=True, exist_ok=True)
    report: dict = dict(machine=describe_machine(args.device), sections=[])
    for name in args.sections:
        left = stop - time.perf_counter()
        seconds = min(SECONDS[name] * args.patience, left)
        report['sections'].append(run_section(name, args, max(0, seconds)))
        # What is there by now, whatever becomes of the rest.
        args.out.write_text(json.dumps(report, indent=1) + '\n')
    print(format_table(report))
    print(f'wrote {args.out}')
    return int(any(e['state'] == 'failed' for e in report['sections']))


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
