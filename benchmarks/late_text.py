"""Measure what text costs that enters the encoder late, and what it saves.

``python benchmarks/late_text.py`` pre-trains one encoder without text, as
``compare_variants.py`` does, trains from there with text from each of several
blocks on (``first_block``) and several seeds, scores each run on two levels of
SynthRef, times queries, and writes tables and a plot. ``--start FILE`` trains
on from a model with text in all blocks instead. What has its ``result.json``
is not repeated, and a run that was interrupted goes on from its last
checkpoint. Seed 0 of all comes first. ``--report`` writes what there is.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from compare_variants import (
    CONFIGS,
    DATA,
    insert_table,
    prepare,
    run_apart,
    score_kinds,
)
from late_text_tables import (
    LEVELS,
    format_scores,
    format_times,
    plot,
)
from machine import ROOT, device_name, git
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.console import Console
from speed_models import build_segmentor
from speed_parts import make_batch

from mmdit.checkpoints.files import read_checkpoint
from mmdit.checkpoints.late_text import start_text_at
from mmdit.checkpoints.settings import KEY, recorded_settings
from mmdit.checkpoints.sources import to_mmdit
from mmdit.checkpoints.work_dir import find_checkpoint
from mmdit.checkpoints.writing import write_file
from mmdit.datasets.synthref import write_synthref
from mmdit.registry import MODELS

PARTS = tuple(zip(('val', 'test'), LEVELS, strict=True))
CRUMB = 500  # steps between checkpoints
LARGE_DEPTH = 12  # blocks of ViT-B
PRETRAINED = 'pretrained'  # folder of the encoder without text
EXPRESSIONS = ['thing' + ' red' * n for n in range(8)]
#: Bytes that hold what is kept of one image.
ENOUGH = 1 << 30


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--config',
        type=Path,
        default=CONFIGS / f'ldit_{DATA}',
    )
    parser.add_argument(
        '--pretrain',
        type=Path,
        default=CONFIGS / f'prompts_{DATA}',
        help='config without text that all start from',
    )
    parser.add_argument(
        '--start',
        type=Path,
        help='checkpoint with text in all blocks that all start from, instead '
        'of pre-training',
    )
    parser.add_argument(
        '--first-blocks', nargs='+', type=int, default=[0, 1, 2, 3]
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument(
        '--max-iters', type=int, help="steps, by default the config's"
    )
    parser.add_argument(
        '--report',
        action='store_true',
        help='write what there is',
    )
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument(
        '--rounds', type=int, default=5, help='timings of each query'
    )
    parser.add_argument(
        '--time-size',
        type=int,
        default=512,
        help='image of ViT-B in pixels when it is timed',
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/late_text')
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=ROOT / 'docs/late_text.md',
        help='page whose tables are written, between two marks',
    )
    parser.add_argument(
        '--plot', type=Path, default=ROOT / 'docs/images/late_text.png'
    )
    return parser.parse_args()


def data_root(work_dir: Path, level: str) -> Path:
    """Return the folder of a level of SynthRef."""
    return work_dir / f'synthref-{level}'


def choose_start(options: dict[str, Any], work_dir: Path) -> Path:
    """Return the file of the weights that a run starts from."""
    if options['start'] is None:
        return find_checkpoint(options['root'] / PRETRAINED)
    checkpoint = read_checkpoint(str(options['start']))
    weights, settings = start_text_at(
        options['first_block'],
        to_mmdit(checkpoint['state_dict'])[1].state_dict,
        recorded_settings(checkpoint),
    )
    path = work_dir / 'start.pth'
    work_dir.mkdir(parents=True, exist_ok=True)
    write_file(path, weights, dict(meta={KEY: settings}))
    return path


def prepare_run(
    config: Path, work_dir: Path, seed: int, root: Path, max_iters: int | None
) -> Config:
    """Load a config for one run that can be interrupted."""
    cfg = prepare(config, work_dir, seed)
    if max_iters:
        cfg.train_cfg.max_iters = max_iters
        cfg.train_cfg.val_interval = max_iters + 1
    cfg.default_hooks.checkpoint.interval = CRUMB
    cfg.resume = True
    for part, level in (('train', 'easy'), *PARTS):
        loader = cfg[f'{part}_dataloader']
        loader.dataset.data_root = str(data_root(root, level))
    return cfg


def pretrain(
    config: Path, work_dir: Path, seed: int, threads: int, options: dict
) -> None:
    """Train without text what all runs start from."""
    torch.set_num_threads(threads)
    root, max_iters = options['root'], options['max_iters']
    cfg = prepare_run(config, work_dir, seed, root, max_iters)
    Runner.from_cfg(cfg).train()
    facts = dict(iters=cfg.train_cfg.max_iters, seed=seed)
    (work_dir / 'result.json').write_text(json.dumps(facts) + '\n')


def train_and_score(
    config: Path, work_dir: Path, seed: int, threads: int, options: dict
) -> None:
    """Train with text from a block on, and write what it scores."""
    torch.set_num_threads(threads)
    first, root = options['first_block'], options['root']
    cfg = prepare_run(config, work_dir, seed, root, options['max_iters'])
    cfg.model.backbone.text_injector.first_block = first
    cfg.model.init_cfg.checkpoint = str(choose_start(options, work_dir))
    cfg.model.text_encoder.vocab_file = str(
        data_root(root, 'easy') / 'vocab.txt'
    )
    for part, level in PARTS:
        rows = str(work_dir / f'{level}.json')
        cfg[f'{part}_evaluator'] = dict(cfg.val_evaluator, out_file=rows)
    begun = time.process_time()
    runner = Runner.from_cfg(cfg)
    runner.train()
    seconds = time.process_time() - begun
    result: dict[str, Any] = dict(
        first_block=first,
        depth=len(runner.model.backbone.blocks),
        seed=seed,
        start=options['start'] and str(options['start']),
        iters=cfg.train_cfg.max_iters,
        cpu_seconds=round(seconds, 1),
    )
    for level, score in zip(LEVELS, (runner.val, runner.test), strict=True):
        found = score()['mIoU']
        rows = json.loads((work_dir / f'{level}.json').read_text())
        result[level] = dict(mIoU=found, **score_kinds(rows))
    result |= describe_machine()
    text = json.dumps(result, indent=1) + '\n'
    (work_dir / 'result.json').write_text(text)


def describe_machine() -> dict[str, str]:
    """Return what belongs beside a number."""
    return dict(
        commit=git('rev-parse', '--short', 'HEAD'),
        torch=torch.__version__,
        device=device_name(),
    )


def list_runs(args: argparse.Namespace) -> list[tuple[int, int, Path]]:
    """Return first block, seed and folder of each run, seed by seed."""
    return [
        (k, seed, args.work_dir / f'block{k}' / f'seed{seed}')
        for seed in args.seeds
        for k in args.first_blocks
    ]


def run_all(args: argparse.Namespace, console: Console) -> list[dict]:
    """Run what has no result yet, unless told not to; return all results."""
    results = []
    options = dict(
        root=args.work_dir, max_iters=args.max_iters, start=args.start
    )
    start = args.start and str(args.start)
    pretrained = args.work_dir / PRETRAINED
    is_ready = start or (pretrained / 'result.json').exists()
    if not (args.report or is_ready):
        console.print(f'pre-training {args.pretrain.stem}')
        job = args.pretrain, pretrained, 0, args.threads, options
        run_apart(*job, target=pretrain)
    for k, seed, folder in list_runs(args):
        path = folder / 'result.json'
        if not path.exists():
            if args.report:
                continue
            late = dict(options, first_block=k)
            job = args.config, folder, seed, args.threads, late
            run_apart(*job, target=train_and_score)
        results.append(json.loads(path.read_text()))
        before = results[-1].get('start')
        if before != start:
            raise SystemExit(
                f'{path} started from {before}, not from {start}: give '
                'another --work-dir'
            )
        console.print(
            f'text from block {k}, seed {seed}: mIoU '
            f'{results[-1]["easy"]["mIoU"]:.1f}, crowded '
            f'{results[-1]["crowded"]["mIoU"]:.1f}',
            highlight=False,
        )
    return results


def make_queries(model: Any, size: int) -> dict[str, Callable[[], Any]]:
    """Return three ways to query a model about an image of ``size`` px."""
    one, all_at_once = (
        make_batch(size, words) for words in (EXPRESSIONS[:1], EXPRESSIONS)
    )

    @torch.inference_mode()
    def query(batch: dict, kept: int) -> None:
        model.features.max_bytes = kept
        model.test_step(batch)

    return dict(
        one=lambda: query(one, 0),
        # What comes before the text is there from the round before.
        another=lambda: query(one, ENOUGH),
        eight=lambda: query(all_at_once, 0),
    )


def time_models(models: dict[int, Any], size: int, rounds: int) -> dict:
    """Return CPU seconds of queries, by first block: medians of rounds.

    All take turns, so that a busy machine slows all of them.
    """
    queries = {
        (k, name): query
        for k, model in models.items()
        for name, query in make_queries(model.eval(), size).items()
    }
    spent: dict[tuple[int, str], list[float]] = {key: [] for key in queries}
    for number in range(rounds + 1):
        for key, query in queries.items():
            begun = time.process_time()
            query()
            if number:  # the first fills caches
                spent[key].append(time.process_time() - begun)
    return {
        k: {n: statistics.median(spent[k, n]) for n in make_queries(m, size)}
        for k, m in models.items()
    }


def time_all(args: argparse.Namespace) -> dict[str, dict]:
    """Time the config and ViT-B with text from a share of the blocks on."""
    torch.set_num_threads(args.threads)
    init_default_scope('mmdit')
    cfg = Config.fromfile(args.config).model
    cfg.text_encoder.vocab_file = str(
        data_root(args.work_dir, 'easy') / 'vocab.txt'
    )
    depth, small, large = cfg.backbone.arch.depth, {}, {}
    for k in args.first_blocks:
        cfg.backbone.text_injector.first_block = k
        small[k] = MODELS.build(cfg)
        large[k] = build_segmentor(
            'base', args.time_size, first_block=LARGE_DEPTH * k // depth
        )
    size, rounds = cfg.data_preprocessor.size[0], args.rounds
    return dict(
        small=time_models(small, size, 4 * rounds),
        large=time_models(large, args.time_size, rounds),
        size=args.time_size,
        threads=args.threads,
        **describe_machine(),
    )


def main() -> None:
    """Train and score what is missing, time, write tables and plot."""
    args = parse_args()
    args.work_dir = args.work_dir.resolve()
    args.start = args.start and args.start.resolve()
    console = Console()
    for level in LEVELS:
        write_synthref(data_root(args.work_dir, level), level=level)
    times_file = args.work_dir / 'times.json'
    if not times_file.exists():
        times_file.write_text(json.dumps(time_all(args), indent=1) + '\n')
    times = json.loads(times_file.read_text())
    results = run_all(args, console)
    depth = Config.fromfile(args.config).model.backbone.arch.depth
    tables = [format_times(times, dict(small=depth, large=LARGE_DEPTH))]
    if results:
        tables.insert(0, format_scores(results))
        plot(results, times, args.plot)
    insert_table(args.out, '\n\n'.join(tables))
    console.print(f'wrote {args.out}, {len(results)} runs')


if __name__ == '__main__':
    main()
