"""Time an exported model beside the model itself, on the CPU.

    python benchmarks/onnx_speed.py CONFIG --folder exported

Weights are random, because they do not matter to the time. The forward pass
of one image and one expression is timed, text encoder included, from token
ids to logits.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from mmdit.engine.command_line import (
    add_cfg_options,
    config_path,
    open_config,
)
from mmdit.export.check import open_file
from mmdit.export.folder import export_model
from mmdit.export.modules import Part, make_parts
from mmdit.registry import MODELS
from mmdit.runtime.settings import FLOAT32, INT8


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'config', type=config_path, help='path of a config, or its name'
    )
    parser.add_argument(
        '--folder',
        type=Path,
        required=True,
        help='where the exported model is, or will be written',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=10,
        help='how often each is timed (default: %(default)s)',
    )
    parser.add_argument(
        '--int8', action='store_true', help='time int8 weights, too'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def make_forward(parts: Mapping[str, Part], runs: Any) -> Callable[[], Any]:
    """Return the forward pass of one image and one expression."""
    words = parts['text'].example(1, parts['text'].max_tokens)
    pixels = parts['mask'].example(1, 1)

    def forward() -> Any:
        (text,) = runs['text'](words)
        inputs = dict(pixels, text=text)
        if 'attention_mask' in inputs:
            inputs['attention_mask'] = words['attention_mask'].bool()
        return runs['mask'](inputs)

    return forward


def in_torch(part: Part) -> Callable:
    """Return a part that takes inputs by name."""

    def run(inputs: dict) -> tuple:
        with torch.no_grad():
            out = part(*inputs.values())
        return out if isinstance(out, tuple) else (out,)

    return run


def time_rounds(
    forward: Callable[[], Any], rounds: int
) -> tuple[list[float], float]:
    """Return the seconds of each round, after two to warm up.

    And the processor's seconds of a round, which other work changes less.
    """
    seconds = []
    for i in range(rounds + 2):
        if i == 2:
            processor = time.process_time()
        begun = time.perf_counter()
        forward()
        seconds.append(time.perf_counter() - begun)
    return seconds[2:], (time.process_time() - processor) / rounds


def main() -> None:
    """Build, export unless that is done, and time."""
    args = parse_args()
    cfg = open_config(args.config, args.cfg_options)
    model = MODELS.build(cfg.model).eval()
    parts = {part.name: part for part in make_parts(model)}
    kinds = [FLOAT32, INT8] if args.int8 else [FLOAT32]
    files = {
        kind: {name: args.folder / f'{name}{kind}' for name in parts}
        for kind in kinds
    }
    if not all(path.is_file() for path in files[kinds[-1]].values()):
        export_model(model, cfg, args.folder, int8=args.int8)
    contenders = [
        (
            f'torch {torch.__version__}',
            {name: in_torch(part) for name, part in parts.items()},
        )
    ]
    for kind, paths in files.items():
        size = sum(path.stat().st_size for path in paths.values())
        name = f'ONNX Runtime {onnxruntime.__version__}, {kind}'
        runs = {n: open_file(part, paths[n]) for n, part in parts.items()}
        contenders.append((f'{name}, {size / 1e6:.1f} MB', runs))
    print(f'{args.config.stem}, {torch.get_num_threads()} threads')
    medians = []
    # One after the other: threads of ONNX Runtime stay busy for a while
    # after a call, waiting for the next, and torch would feel it.
    for name, runs in contenders:
        values, processor = time_rounds(make_forward(parts, runs), args.rounds)
        medians.append(statistics.median(values))
        print(
            f'{name}: median {medians[-1] * 1e3:.1f} ms of {len(values)}, '
            f'{min(values) * 1e3:.1f} to {max(values) * 1e3:.1f}; '
            f'{processor * 1e3:.1f} ms of the processor; ratio '
            f'{medians[0] / medians[-1]:.2f}'
        )


if __name__ == '__main__':
    main()
