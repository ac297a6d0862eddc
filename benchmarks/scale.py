"""Measure time and memory over the number of rows.

``scale.py rows --rows N`` makes up a JSON-lines file of N rows and opens it
twice, each time in a fresh process. ``scale.py scores --rows N`` scores N made
up results and writes their rows. ``scale.py shards --rows N`` reads N small
files at random, from tar shards and from a folder.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import device_name, git

WORDS = ('the', 'a', 'man', 'woman', 'left', 'red', 'shirt', 'in', 'with')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest='command', required=True)
    for name, description in (
        ('rows', 'open a JSON-lines file'),
        ('scores', 'score results'),
        ('shards', 'read files in tar shards'),
    ):
        command = commands.add_parser(name, help=description)
        command.add_argument('--rows', type=int, default=1_000_000)
        command.add_argument(
            '--folder', help='where to write, by default /tmp'
        )
        command.add_argument('--child', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def write_rows(path: Path, number: int) -> None:
    """Write rows of about 150 bytes, three for each image."""
    rng = np.random.default_rng(0)
    boxes = rng.integers(1, 400, (10_000, 8)).tolist()
    spoken = rng.choice(WORDS, (10_000, 5))
    ends = [
        json.dumps(
            dict(
                expression=' '.join(words),
                mask=[box],
                height=480,
                width=640,
            )
        )[1:]
        for box, words in zip(boxes, spoken, strict=True)
    ]
    with open(path, 'w') as file:
        for i in range(number):
            image = f'images/{i // 3:08d}.jpg'
            file.write(f'{{"image": "{image}", {ends[i % 10_000]}\n')


class Cost:
    """CPU and wall seconds and memory (MiB) since it was made."""

    def __init__(self) -> None:
        Path('/proc/self/clear_refs').write_text('5')  # forget earlier peaks
        self._memory = self._read('VmRSS')
        self._start = time.perf_counter(), sum(os.times()[:4])

    def __str__(self) -> str:
        wall = time.perf_counter() - self._start[0]
        cpu = sum(os.times()[:4]) - self._start[1]
        peak, kept = self._read('VmHWM'), self._read('VmRSS')
        return (
            f'{cpu:.2f} s of CPU, {wall:.2f} s; memory beyond imports: peak '
            f'{peak - self._memory:.0f} MiB, kept {kept - self._memory:.0f} '
            'MiB'
        )

    def _read(self, key: str) -> float:
        status = Path('/proc/self/status').read_text()
        return int(status.split(f'{key}:')[1].split()[0]) / 2**10


def open_rows(path: str) -> None:
    """Open a file and visit items; print time and memory."""
    from mmdit.datasets import ReferJSONLDataset

    cost = Cost()
    dataset = ReferJSONLDataset(ann_file=path)
    print(f'{len(dataset):,} rows opened: {cost}')
    visited = np.random.default_rng(0).integers(len(dataset), size=10_000)
    start = time.process_time()
    for i in visited.tolist():
        dataset.get_data_info(i)
    spent = (time.process_time() - start) / len(visited)
    print(
        f'  then {len(visited):,} at random, {1e6 * spent:.0f} us of CPU '
        f'each: {cost}'
    )


def measure_rows(args: argparse.Namespace) -> None:
    """Make a JSON-lines file, and open it twice."""
    with tempfile.TemporaryDirectory(dir=args.folder) as root:
        path = Path(root, 'rows.jsonl')
        write_rows(path, args.rows)
        print(f'{path.stat().st_size / args.rows:.1f} bytes per row')
        command = [sys.executable, __file__, 'rows', '--child', str(path)]
        for _ in range(2):
            subprocess.run(command, check=True)
        for other in sorted(set(Path(root).iterdir()) - {path}):
            size = other.stat().st_size / args.rows
            print(f'{other.name}: {size:.2f} bytes per row')


def score(number: int, out_file: Path) -> None:
    """Score results whose pixels are made up; print time and memory."""
    from mmdit.evaluation import refer_iou_metric

    rng = np.random.default_rng(0)
    metric = refer_iou_metric.ReferIoUMetric(out_file, generalized=True)
    # To count pixels takes most of the time, and nothing of the memory.
    refer_iou_metric._count_pixels = lambda sample: sample['counts']
    cost = Cost()
    for start in range(0, number, 1000):
        stop = min(start + 1000, number)
        both, one, other = rng.integers(0, 9000, (3, stop - start))
        zeros = np.zeros_like(both)
        counts = np.stack([both, both + one, both + other, zeros, zeros], 1)
        samples = [
            dict(
                sample_idx=i,
                image_id=i // 3,
                ref_id=i,
                ann_id=[i],
                sent_id=i,
                expression=' '.join(WORDS[i % 4 : i % 5 + 4]),
                img_path=f'data/images/train/{i // 3:08d}.jpg',
                ori_shape=(480, 640),
                counts=count,
            )
            for i, count in zip(
                range(start, stop), torch.from_numpy(counts), strict=True
            )
        ]
        metric.process(None, samples)
    print(f'{number:,} results added: {cost}')
    metrics = metric.evaluate(number)
    print(f'  then scored and written: {cost}')
    print('  ' + ', '.join(f'{k} {v!r}' for k, v in metrics.items()))


def measure_scores(args: argparse.Namespace) -> None:
    """Score made up results in a fresh folder."""
    with tempfile.TemporaryDirectory(dir=args.folder) as root:
        path = Path(root, 'rows.json')
        score(args.rows, path)
        print(f'  {path.stat().st_size / args.rows:.0f} bytes per row')


def measure_shards(args: argparse.Namespace) -> None:
    """Make shards of 10,000 files and a folder of as many; read both."""
    from mmdit.shards import read_bytes

    rng = np.random.default_rng(0)
    content = rng.bytes(20_000)
    with tempfile.TemporaryDirectory(dir=args.folder) as root:
        for start in range(0, args.rows, 10_000):
            folder = Path(root, f'{start // 10_000:06d}')
            folder.mkdir()
            for i in range(start, min(start + 10_000, args.rows)):
                Path(folder, f'{i:08d}.jpg').write_bytes(content[i % 9999 :])
            with tarfile.open(f'{folder}.tar', 'w') as tar:
                tar.add(folder, '.')
        numbers = rng.integers(args.rows, size=10_000).tolist()
        for suffix in ('', '.tar', '.tar'):
            cost = Cost()
            for i in numbers:
                read_bytes(f'{root}/{i // 10_000:06d}{suffix}/{i:08d}.jpg')
            print(f'{len(numbers):,} read from {suffix or "folders"}: {cost}')
        indices = [path.stat().st_size for path in Path(root).glob('.*')]
        print(f'indices: {sum(indices) / args.rows:.2f} bytes per file')


def main(argv: list[str] | None = None) -> None:
    """Measure one of them."""
    args = parse_args(argv)
    if args.child:
        open_rows(args.child)
        return
    print(f'commit {git("rev-parse", "--short", "HEAD")}, {device_name()}')
    measure = dict(
        rows=measure_rows, scores=measure_scores, shards=measure_shards
    )
    measure[args.command](args)


if __name__ == '__main__':
    main()
