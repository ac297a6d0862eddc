"""Train every variant from one checkpoint, with several seeds, and compare.

``python benchmarks/compare_variants.py`` trains the checkpoint that all
start from, if it is not there, then each config with each seed, and writes
the table and the plot. A run that has its ``result.json`` is not repeated, so
an interrupted comparison goes on.

``--size 128 --depth 12`` compares the rows as larger models of larger scenes,
from a checkpoint of their own, in a work dir that also gets table and plot.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from machine import ROOT, commit, device_name
from mmengine.config import Config
from mmengine.runner import Runner
from rich.console import Console

from mmdit.datasets.synthref import write_synthref

CONFIGS = ROOT / 'configs/synthref'
DATA = 'sam-tiny_synthref-64x64.py'
# In the paper's order; those that end in "-frozen" are its rows marked *.
ROWS = (
    'default',
    'default-dec4',
    'default-dec6',
    'edit',
    'edit-token',
    'ldit',
    'ldit-token',
    'ldit-cross',
    'ldit-cross-ffn',
    'default-frozen',
    'default-dec4-frozen',
    'default-dec6-frozen',
    'edit-frozen',
    'ldit-frozen',
    'edit-frozen-text',
    'ldit-frozen-text',
)
METRICS = ('mIoU', 'oIoU', 'P@0.5')
# What an expression names, by the words of SynthRef; the first that fits.
KINDS = {
    'relation': r'\b(of the|above|below|under|closest)\b',
    'place': r'\b(left|right|top|bottom|middle|highest|lowest)\b',
    'looks': '',
}
SHUFFLED = 'shuffled mIoU'
COLUMNS = (*METRICS, *reversed(KINDS), SHUFFLED)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        'configs',
        nargs='*',
        type=Path,
        default=[CONFIGS / f'{row}_{DATA}' for row in ROWS],
        help='configs to compare (default: a row of the paper each)',
    )
    parser.add_argument(
        '--pretrain',
        type=Path,
        default=CONFIGS / f'prompts_{DATA}',
        help='config whose last checkpoint the others name in init_cfg',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count() if not torch.cuda.is_available() else 1,
        help='runs at the same time, which share the device and the cores',
    )
    parser.add_argument(
        '--device', choices=['cpu', 'cuda'], help='default: a GPU, if any'
    )
    for name, what in (
        ('size', 'side of the images in pixels, a multiple of 8'),
        ('depth', 'blocks of the encoder'),
        ('iters', 'steps of each run, pre-training included'),
    ):
        parser.add_argument(f'--{name}', type=int, help=what)
    parser.add_argument('--work-dir', type=Path, help='where results are')
    parser.add_argument(
        '--out', type=Path, help='page whose table is written, between marks'
    )
    parser.add_argument('--plot', type=Path, help='where the figure goes')
    args = parser.parse_args()
    scale = [str(x) for x in (args.size, args.depth, args.iters)]
    args.scale = '' if scale == ['None'] * 3 else '-'.join(['', *scale])
    here = Path(f'work_dirs/compare_variants{args.scale}')
    args.work_dir = args.work_dir or here
    docs = args.work_dir if args.scale else ROOT / 'docs'
    args.out = args.out or docs / 'variants.md'
    args.plot = args.plot or docs / 'images/variants.png'
    return args


def scale_configs(args: argparse.Namespace) -> None:
    """Exchange all configs for copies of another size, in the work dir."""
    folder = args.work_dir / 'configs'
    folder.mkdir(parents=True, exist_ok=True)
    pretrain = scale_config(args.pretrain, args)
    # What another size has left is no start for this one.
    name = f'{args.pretrain.stem}{args.scale}'
    start = dict(checkpoint=str(find_checkpoint(Path(name), pretrain)))
    for i, path in enumerate(args.configs):
        cfg = scale_config(path, args)
        cfg.merge_from_dict({'model.init_cfg': start})
        args.configs[i] = folder / path.name
        cfg.dump(args.configs[i])
    args.pretrain = folder / f'{name}.py'
    pretrain.dump(args.pretrain)


def scale_config(path: Path, args: argparse.Namespace) -> Config:
    """Load a config, and change what the arguments change of it."""
    cfg = Config.fromfile(path)
    backbone = cfg.model.backbone
    if args.depth:
        backbone.arch.depth = args.depth
    if args.iters:
        cfg.train_cfg.max_iters = args.iters
        cfg.default_hooks.checkpoint.interval = args.iters
    if args.size:
        size = args.size, args.size
        backbone.img_size = args.size
        cfg.model.data_preprocessor.size = size
        root = f'data/synthref-{args.size}'
        for part in ('train', 'val', 'test'):
            dataset = cfg[f'{part}_dataloader'].dataset
            dataset.data_root = root
            for step in (s for s in dataset.pipeline if s.type == 'Resize'):
                step.scale = size
        if cfg.model.text_encoder is not None:
            cfg.model.text_encoder.vocab_file = f'{root}/vocab.txt'
    return cfg


def find_checkpoint(path: Path, pretrain: Config) -> Path:
    """Return the last checkpoint of a config's training."""
    last = f'iter_{pretrain.train_cfg.max_iters}.pth'
    return Path('work_dirs', path.stem, last)


def prepare(config: Path, work_dir: Path, seed: int) -> Config:
    """Load a config for one quiet run."""
    cfg = Config.fromfile(config)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'{config.stem}_{seed}'
    cfg.randomness = dict(seed=seed)
    cfg.log_level = 'WARNING'
    cfg.default_hooks.pop('visualization', None)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    # Scored once, after training.
    cfg.train_cfg.val_interval = cfg.train_cfg.max_iters + 1
    cfg.default_hooks.checkpoint.interval = cfg.train_cfg.max_iters
    return cfg


def train_and_score(
    config: Path, work_dir: Path, seed: int, threads: int
) -> None:
    """Train a config with a seed, and write what it scores."""
    torch.set_num_threads(threads)
    cfg = prepare(config, work_dir, seed)
    shuffled = cfg.test_dataloader.dataset
    shuffled.shuffle_expressions = cfg.model.text_encoder is not None
    start = time.perf_counter()
    rows_file = work_dir / 'rows.json'
    cfg.val_evaluator.out_file = str(rows_file)
    runner = Runner.from_cfg(cfg)
    runner.train()
    seconds = time.perf_counter() - start
    scores = runner.val()
    parameters = list(runner.model.parameters())
    result = dict(
        config=config.name,
        seed=seed,
        iters=cfg.train_cfg.max_iters,
        seconds=round(seconds, 1),
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        **{name: scores[name] for name in METRICS},
        **score_kinds(json.loads(rows_file.read_text())),
        **{SHUFFLED: runner.test()['mIoU']},
        commit=commit(),
        torch=torch.__version__,
        device=device_name(),
    )
    text = json.dumps(result, indent=1) + '\n'
    (work_dir / 'result.json').write_text(text)


def score_kinds(rows: list[dict]) -> dict[str, float]:
    """Return the mIoU of the expressions of each kind, in percent."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for row in rows:
        words = row['expression']
        kind = next(k for k, v in KINDS.items() if re.search(v, words))
        found[kind].append(100 * row['iou'])
    return {
        k: statistics.fmean(v) if v else math.nan for k, v in found.items()
    }


def run_apart(*job: Any, target: Callable = train_and_score) -> dict:
    """Do the same in a process of its own: a Runner leaves global state."""
    process = get_context('spawn').Process(target=target, args=job)
    process.start()
    process.join()
    config, work_dir, *_ = job
    if process.exitcode:
        raise SystemExit(f'{config} failed; its log is in {work_dir}')
    return json.loads((work_dir / 'result.json').read_text())


def run_all(args: argparse.Namespace) -> Iterator[dict]:
    """Run what has no result yet, and yield all results."""
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    waiting = []
    # Seed by seed, so that an early look compares all configs.
    for seed in args.seeds:
        for config in args.configs:
            work_dir = args.work_dir / config.stem / f'seed{seed}'
            path = work_dir / 'result.json'
            if path.exists():
                yield json.loads(path.read_text())
            else:
                waiting.append((config, work_dir, seed, threads))
    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(run_apart, *job) for job in waiting]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def summarize(results: list[dict]) -> list[dict]:
    """Return mean and spread of each config, in the order of the results."""
    rows = []
    for config in dict.fromkeys(result['config'] for result in results):
        of_config = [r for r in results if r['config'] == config]
        row = dict(config=config, runs=of_config, name=config.split('_')[0])
        for metric in COLUMNS:
            values = [result[metric] for result in of_config]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            row[metric] = (statistics.fmean(values), spread)
        rows.append(row)
    return rows


def format_table(rows: list[dict], results: list[dict]) -> str:
    """Write the rows as a Markdown table, with what they were measured on."""
    header = ['row', 'trainable', 'runs', *COLUMNS]
    lines = [
        '| ' + ' | '.join(header) + ' |',
        '|---' + '|---:' * (len(header) - 1) + '|',
    ]
    for row in rows:
        link = f'[{row["name"]}](../configs/synthref/{row["config"]})'
        trainable = f'{row["runs"][0]["trainable"] / 1e6:.2f} M'
        # One run has no spread.
        cell = '{:.1f} ± {:.1f}' if len(row['runs']) > 1 else '{:.1f}'
        cells = [cell.format(*row[metric]) for metric in COLUMNS]
        cells = [link, trainable, str(len(row['runs'])), *cells]
        lines.append('| ' + ' | '.join(cells) + ' |')
    seeds = sorted({result['seed'] for result in results})
    facts = {
        key: ', '.join(sorted({str(result[key]) for result in results}))
        for key in ('iters', 'commit', 'torch', 'device')
    }
    lines += [
        '',
        f'Mean ± standard deviation over seeds {seeds}, in percent; '
        f'{facts["iters"]} steps each. Commit {facts["commit"]}, torch '
        f'{facts["torch"]}, {facts["device"]}.',
    ]
    return '\n'.join(lines)


def insert_table(page: Path, table: str) -> None:
    """Put the table between the marks of a page, or at its end."""
    begin, end = '<!-- table: begin -->', '<!-- table: end -->'
    text = page.read_text() if page.exists() else f'{begin}\n{end}\n'
    if begin not in text or end not in text:
        raise SystemExit(f'{page} has no lines {begin} and {end}')
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f'{before}{begin}\n{table}\n{end}{after}')


def plot(rows: list[dict], path: Path) -> None:
    """Draw a dot per run and a bar at the mean of each row."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    height = 1.2 + 0.34 * len(rows)
    figure, axes = pyplot.subplots(figsize=(8, height), layout='tight')
    for y, row in enumerate(rows):
        frozen = '-frozen' in row['name']
        color = '#d1495b' if row['name'].startswith('ldit') else '#30638e'
        if row['name'].startswith('edit'):
            color = '#edae49'
        runs = [run['mIoU'] for run in row['runs']]
        control = [run[SHUFFLED] for run in row['runs']]
        face = 'white' if frozen else color
        axes.scatter(control, [y] * len(control), 14, '#b0b0b0', marker='|')
        axes.plot([row['mIoU'][0]] * 2, [y - 0.3, y + 0.3], color=color, lw=2)
        axes.scatter(runs, [y] * len(runs), 28, face, edgecolors=color)
    axes.set_yticks(range(len(rows)), [row['name'] for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(
        'mIoU on held-out scenes, %   (open: encoder frozen; gray: '
        'expressions shuffled)'
    )
    axes.grid(axis='x', color='#e6e6e6')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.tick_params(left=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def check_start(configs: list[Path], checkpoint: Path) -> None:
    """Reject a config that does not start from the common checkpoint."""
    for config in configs:
        init = Config.fromfile(config).model.get('init_cfg') or {}
        if Path(init.get('checkpoint', '')).resolve() != checkpoint.resolve():
            raise SystemExit(
                f'{config} starts from {init.get("checkpoint")}, expected '
                f'{checkpoint}: compare variants from one checkpoint, or '
                'give --pretrain the config that trains theirs'
            )


def main() -> None:
    """Pre-train once, run all, write table and plot."""
    args = parse_args()
    console = Console()
    if args.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''  # of all runs
    if args.size:
        write_synthref(f'data/synthref-{args.size}', size=args.size)
    if args.scale:
        scale_configs(args)
    pretrain = Config.fromfile(args.pretrain)
    checkpoint = find_checkpoint(args.pretrain, pretrain)
    check_start(args.configs, checkpoint)
    if not checkpoint.exists():
        console.print(f'pre-training {args.pretrain.stem}')
        command = [sys.executable, str(ROOT / 'tools/train.py')]
        subprocess.run([*command, str(args.pretrain)], check=True)
    results = []
    total = len(args.seeds) * len(args.configs)
    for result in run_all(args):
        results.append(result)
        console.print(
            f'{len(results)}/{total} {result["config"].split("_")[0]} seed '
            f'{result["seed"]}: mIoU {result["mIoU"]:.1f}, shuffled '
            f'{result[SHUFFLED]:.1f}, {result["seconds"]:.0f} s',
            highlight=False,
        )
    order = [config.name for config in args.configs]
    results.sort(key=lambda r: (order.index(r['config']), r['seed']))
    rows = summarize(results)
    table = format_table(rows, results)
    insert_table(args.out, table)
    plot(rows, args.plot)
    console.print(table, markup=False, highlight=False)
    console.print(f'wrote {args.out} and {args.plot}')


if __name__ == '__main__':
    main()
