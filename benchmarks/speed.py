"""Measure the encoder and the training step, side by side, in one run.

``python benchmarks/speed.py`` compares, on the same weights and images, a
plain implementation (attention that holds all scores),
``segment_anything``'s and ``transformers``' encoders and ours. Contenders take
turns, so that a busy machine slows all of them. Printed are medians, ratios,
the share of the measured rate of matrix products and the peak of memory.
"""

import argparse
import ctypes
import gc
import json
import platform
import statistics
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from machine import commit, cpu_name
from rich.console import Console
from rich.table import Table
from speed_parts import (
    Case,
    Job,
    Setting,
    expressions_case,
    sam_case,
    step_case,
    text_case,
)
from speed_plots import draw_curve, draw_ratios
from torch import Tensor

from mmdit.engine.amp import cpu_has_bfloat16
from mmdit.models.layers.backends import BACKENDS

GROUPS = ('text', 'windows', 'all', 'step', 'expressions')
PASSES = ('forward', 'backward')
MIB = 2**20


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--groups',
        nargs='+',
        choices=GROUPS,
        default=GROUPS,
        help="text: L-DIT's encoder against the plain formula; windows, all: "
        "SAM's encoder without text, of three packages; step: the whole "
        'training step; expressions: several of one image',
    )
    parser.add_argument(
        '--passes', nargs='+', choices=PASSES, default=list(PASSES)
    )
    parser.add_argument(
        '--inputs',
        nargs='+',
        type=read_input,
        metavar='BxSIZE',
        default=['16x512', '1x1024'] if gpu else ['2x512', '1x1024'],
        help='images of a batch and their side in pixels',
    )
    parser.add_argument('--archs', nargs='+', default=['base'])
    parser.add_argument(
        '--dtypes',
        nargs='+',
        default=['float32'] + ['bfloat16'] * (gpu or cpu_has_bfloat16()),
        help='what ours computes in; the plain one always has float32 too',
    )
    parser.add_argument(
        '--backends',
        nargs='+',
        choices=[b for b in ('auto', *BACKENDS) if b != 'reference'],
        default=['auto'],
        help="ours' attention in the groups text and step, beside the "
        'reference; auto is what users get',
    )
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--device', default='cuda' if gpu else 'cpu')
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/speed.json')
    )
    parser.add_argument('--plot', type=Path, help='also draw the ratios')
    parser.add_argument(
        '--curve',
        type=Path,
        help='also draw the peak of memory over the size of the images',
    )
    args = parser.parse_args()
    # argparse leaves defaults that are no strings as they are.
    args.inputs = [
        read_input(i) if isinstance(i, str) else i for i in args.inputs
    ]
    return args


def read_input(text: str) -> tuple[int, int]:
    """Read '2x512'."""
    try:
        batch, size = map(int, text.split('x'))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'expected images x pixels such as 2x512, got {text!r}'
        ) from None
    if batch < 1 or size < 16 or size % 16:
        raise argparse.ArgumentTypeError(
            f'expected at least one image and a multiple of 16 pixels, got '
            f'{text!r}'
        )
    return batch, size


def make_cases(args: argparse.Namespace) -> Iterator[tuple[Setting, Case]]:
    """Go through what the command line selects."""
    for arch in args.archs:
        for batch, size in args.inputs:
            for direction in args.passes:
                setting = Setting(
                    arch,
                    batch,
                    size,
                    tuple(getattr(torch, name) for name in args.dtypes),
                    direction == 'backward',
                    torch.device(args.device),
                    tuple(args.backends),
                )
                for group in args.groups:
                    for case in make_group(group, setting):
                        yield setting, case


def make_group(group: str, setting: Setting) -> list[Case]:
    """Make the cases that a group has of a setting, if any."""
    if group == 'text':
        return [text_case(setting)]
    if group == 'step':
        return [step_case(setting)] if setting.backward else []
    if setting.backward:
        # Training plain SAM's encoder is not what anyone here does.
        return []
    if group == 'expressions':
        return [expressions_case(setting, where) for where in (True, False)]
    return [sam_case(setting, group == 'windows')]


def measure(case: Case, setting: Setting, repeats: int) -> list[dict]:
    """Measure the contenders of a case in turns.

    One that fails, for want of memory perhaps, costs its own row.
    """
    rows: list[dict] = []
    running: list[tuple[dict, Job, Tensor]] = []
    for contender in case.contenders:
        row = dict(
            case=case.title,
            **case.facts,
            contender=contender.name,
            dtype=str(contender.dtype).removeprefix('torch.'),
        )
        rows.append(row)
        try:
            job = contender.make()
            job()  # caches and lazy initialization
            peak, output = peak_memory(job, setting.device)
        except Exception as error:
            traceback.print_exc()
            row['error'] = f'{type(error).__name__}: {error}'[:500]
            continue
        row.update(seconds=[], peak_mib=peak / MIB)
        running.append((row, job, output.float().cpu()))
    rates: dict[str, list[float]] = {row['dtype']: [] for row, *_ in running}
    for _ in range(repeats):
        for dtype, measured in rates.items():
            measured.append(matmul_rate(setting, getattr(torch, dtype)))
        for row, job, _ in running:
            row['seconds'].append(timed(job, setting.device))
    for row, _, output in running:
        first, _, expected = running[0]
        median = statistics.median(row['seconds'])
        rate = statistics.median(rates[row['dtype']])
        same = case.equal and row['dtype'] == first['dtype']
        difference = (output - expected).abs().max().item()
        row.update(
            median=median,
            ratio=statistics.median(first['seconds']) / median,
            matmul_gflops=rate / 1e9,
            share=case.flops and case.flops / median / rate,
            difference=difference if same else None,
        )
    return rows


def timed(job: Job, device: torch.device) -> float:
    """Return the seconds of one call."""
    synchronize(device)
    start = time.perf_counter()
    job()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def matmul_rate(setting: Setting, dtype: torch.dtype) -> float:
    """Measure the FLOP/s of a product as large as those of an MLP."""
    rows = setting.batch * (setting.size // 16) ** 2
    width = 768
    options: dict[str, Any] = dict(device=setting.device, dtype=dtype)
    left = torch.randn(rows, width, **options)
    right = torch.randn(width, 4 * width, **options)
    out = torch.empty(rows, 4 * width, **options)
    # A GPU takes less time for one than to say that it is done.
    count = 20 if setting.device.type == 'cuda' else 1
    with torch.no_grad():

        def products() -> Tensor:
            for _ in range(count):
                torch.mm(left, right, out=out)
            return out

        products()
        seconds = [timed(products, setting.device) for _ in range(5)]
    return count * 2 * rows * width * 4 * width / statistics.median(seconds)


def forget(device: torch.device) -> None:
    """Give memory back, so that the next peak starts from the ground."""
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.empty_cache()
    elif platform.system() == 'Linux':
        ctypes.CDLL(None).malloc_trim(0)


def peak_memory(job: Job, device: torch.device) -> tuple[float, Tensor]:
    """Return the bytes that a job takes beyond those in use, and its output.

    On a CPU that is the kernel's count of resident pages, on Linux only.
    """
    forget(device)
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        out = job()
        return torch.cuda.max_memory_allocated(device) - before, out
    if platform.system() != 'Linux':
        return float('nan'), job()
    Path('/proc/self/clear_refs').write_text('5')
    before = resident('VmRSS')
    out = job()
    return resident('VmHWM') - before, out


def resident(field: str) -> int:
    """Read a count of bytes from the kernel."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'the kernel tells no {field}')


def machine(device: str) -> dict:
    """Describe what is measured, where."""
    threads = torch.get_num_threads()
    return dict(
        commit=commit(),
        torch=torch.__version__,
        device=torch.cuda.get_device_name()
        if device.startswith('cuda')
        else f'{threads} threads of {cpu_name()}',
    )


def show(rows: list[dict], console: Console) -> None:
    """Print the rows of one case."""
    head = rows[0]
    table = Table(
        title=f'{head["case"]}\nViT-{head["arch"]}, {head["batch"]} x '
        f'{head["size"]} px, {head["measured"]}',
        title_justify='left',
    )
    columns = ('median', 'ratio', 'of products', 'peak memory', 'max diff')
    table.add_column('', no_wrap=True)
    table.add_column('', no_wrap=True)
    for column in columns:
        table.add_column(column, justify='right', no_wrap=True)
    for row in rows:
        if 'error' in row:
            table.add_row(row['contender'], row['dtype'], 'failed')
            continue
        table.add_row(
            row['contender'],
            row['dtype'],
            f'{row["median"]:.3f} s',
            f'{row["ratio"]:.2f}x',
            f'{row["share"]:.0%}' if row['share'] else '-',
            f'{row["peak_mib"]:.0f} MiB',
            '-' if row['difference'] is None else f'{row["difference"]:.1e}',
        )
    console.print(table)
    for row in rows:
        if 'error' in row:
            console.print(f'{row["contender"]}: {row["error"]}', markup=False)
    rates = {
        row['dtype']: f'{row["matmul_gflops"]:.0f}'
        for row in rows
        if 'error' not in row
    }
    said = ', '.join(f'{rate} GFLOP/s in {t}' for t, rate in rates.items())
    console.print(f'matrix products: {said}\n')


def main() -> None:
    """Measure all cases, printing and writing each when it is done."""
    args = parse_args()
    console = Console()
    console.width = max(console.width, 96)  # as wide as the tables
    report: dict = dict(machine=machine(args.device), rows=[])
    console.print(', '.join(f'{k} {v}' for k, v in report['machine'].items()))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for setting, case in make_cases(args):
        rows = measure(case, setting, args.repeats)
        report['rows'] += rows
        show(rows, console)
        args.out.write_text(json.dumps(report, indent=1) + '\n')
    drawn = [row for row in report['rows'] if 'error' not in row]
    if args.plot is not None:
        draw_ratios(drawn, args.plot)
    if args.curve is not None:
        draw_curve(drawn, args.curve)
    console.print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
