"""Measure how fast data is loaded.

``data_loading.py items CONFIG`` runs the pipeline of a data loader in one
process with one thread, as each worker does, and times every transform; then
it times what the training process pays to receive the batches of one worker.
``data_loading.py index`` makes up a RefCOCO of 200,000 annotations and
142,000 sentences, and loads it by ref, then by sentence, in a fresh process
each.
"""

import argparse
import copy
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.runner import Runner, set_random_seed
from rich.console import Console
from rich.table import Table

from mmdit.engine.command_line import (
    add_cfg_options,
    config_path,
    open_config,
)
from mmdit.registry import DATASETS

WORDS = ('the', 'a', 'man', 'woman', 'left', 'red', 'shirt', 'in', 'with')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    commands = parser.add_subparsers(dest='command', required=True)
    items = commands.add_parser('items', help='time transforms and batches')
    items.add_argument('config', type=config_path)
    items.add_argument(
        '--loader', choices=('train', 'val', 'test'), default='train'
    )
    items.add_argument('--rounds', type=int, default=9, help='medians of them')
    items.add_argument('--items', type=int, default=64, help='per round')
    items.add_argument('--out', type=Path, help='write a JSON file')
    add_cfg_options(items)
    index = commands.add_parser('index', help='time the annotation files')
    index.add_argument('--annotations', type=int, default=200_000)
    index.add_argument('--refs', type=int, default=50_000)
    index.add_argument('--sentences', type=int, default=142_000)
    index.add_argument('--images', type=int, default=20_000)
    index.add_argument('--load', nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def time_items(
    loader: ConfigDict, rounds: int, items: int
) -> dict[str, float]:
    """Return milliseconds per item of each transform, medians of rounds."""
    dataset = DATASETS.build(loader.dataset)
    steps = [('record', None)]
    for transform in dataset.pipeline.transforms:
        steps.append((type(transform).__name__, transform))
    found: dict[str, list[float]] = {name: [] for name, _ in steps}
    # One round more: the first fills caches.
    for _ in range(rounds + 1):
        spent = dict.fromkeys(found, 0.0)
        for i in range(items):
            results: dict = {}
            for name, transform in steps:
                start = time.perf_counter()
                if transform is None:
                    results = dataset.get_data_info(i % len(dataset))
                else:
                    results = transform(results)
                spent[name] += time.perf_counter() - start
        for name, seconds in spent.items():
            found[name].append(1e3 * seconds / items)
    return {name: median(values[1:]) for name, values in found.items()}


def time_batches(loader: ConfigDict, rounds: int) -> dict[str, float]:
    """Return what one worker's batches cost the process that takes them."""
    loader = copy.deepcopy(loader)
    loader.update(num_workers=1, sampler=dict(type='InfiniteSampler'))
    batches = iter(Runner.build_dataloader(loader, seed=0))
    wall, cpu = [], []
    next(batches)
    for _ in range(rounds):
        start = time.perf_counter(), time.process_time()
        for batch in islice(batches, 4):
            del batch
        wall.append((time.perf_counter() - start[0]) / 4)
        cpu.append((time.process_time() - start[1]) / 4)
    return dict(
        batch_size=loader.batch_size,
        items_per_second=loader.batch_size / median(wall),
        receiving_ms_per_batch=1e3 * median(cpu),
    )


def measure_items(args: argparse.Namespace) -> None:
    """Time the items of a config, print a table and write the file."""
    cfg = open_config(args.config, args.cfg_options)
    # As MMEngine and torch set up a worker.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    set_random_seed(0)
    loader = cfg[f'{args.loader}_dataloader']
    steps = time_items(loader, args.rounds, args.items)
    total = sum(steps.values())
    batches = time_batches(loader, args.rounds)
    table = Table(title=f'{args.loader} items of {args.config.name}')
    for column in ('step', 'ms per item', 'items/s', 'share'):
        table.add_column(
            column, justify='left' if column == 'step' else 'right'
        )
    for name, spent in [*steps.items(), ('in all', total)]:
        share = f'{spent / total:.0%}'
        table.add_row(name, f'{spent:.2f}', f'{1e3 / spent:.0f}', share)
    console = Console()
    console.print(table)
    console.print(
        'one worker sends {items_per_second:.0f} items/s; a batch of '
        '{batch_size} takes {receiving_ms_per_batch:.1f} ms of the receiving '
        'process'.format(**batches)
    )
    if args.out:
        report = dict(
            config=str(args.config),
            loader=args.loader,
            ms_per_item=steps,
            items_per_second=1e3 / total,
            worker=batches,
        )
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1))


def write_dataset(root: Path, args: argparse.Namespace) -> None:
    """Write ``refcoco`` with polygons of 10 to 60 corners."""
    rng = np.random.default_rng(0)
    images = [
        dict(id=i, file_name=f'{i}.jpg', height=480, width=640)
        for i in range(args.images)
    ]
    annotations = [
        dict(
            id=i,
            image_id=i % args.images,
            category_id=1,
            iscrowd=0,
            segmentation=[
                (rng.random(2 * rng.integers(10, 60)) * 480).round(2).tolist()
            ],
        )
        for i in range(args.annotations)
    ]
    spoken = [
        ' '.join(rng.choice(WORDS, rng.integers(2, 8)))
        for _ in range(args.sentences)
    ]
    refs = [
        dict(
            ref_id=i,
            ann_id=i,
            image_id=i % args.images,
            split='train',
            sentences=[
                dict(sent_id=k, sent=spoken[k], raw=spoken[k], tokens=[])
                for k in range(i, args.sentences, args.refs)
            ],
        )
        for i in range(args.refs)
    ]
    folder = root / 'refcoco'
    folder.mkdir()
    content = dict(images=images, annotations=annotations)
    (folder / 'instances.json').write_text(json.dumps(content))
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(refs, protocol=2))


def load(root: str, sample_by: str) -> None:
    """Load the data set, and print time and memory."""
    from mmdit.datasets import RefCOCODataset

    start = time.perf_counter()
    dataset = RefCOCODataset(data_root=root, sample_by=sample_by)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f'by {sample_by}: {len(dataset)} items, {seconds:.1f} s, '
        f'peak memory {peak:.2f} GiB'
    )


def measure_index(args: argparse.Namespace) -> None:
    """Make annotation files, and load them twice."""
    if args.load:
        load(*args.load)
        return
    with tempfile.TemporaryDirectory() as root:
        write_dataset(Path(root), args)
        for sample_by in ('ref', 'sentence'):
            command = [sys.executable, __file__, 'index', '--load', root]
            subprocess.run([*command, sample_by], check=True)


def main(argv: list[str] | None = None) -> None:
    """Measure one or the other."""
    args = parse_args(argv)
    if args.command == 'items':
        measure_items(args)
    else:
        measure_index(args)


if __name__ == '__main__':
    main()
