"""Score an exported model with its float32 and with its int8 weights.

``python benchmarks/onnx_accuracy.py CONFIG FOLDER`` predicts every expression
of the config's test set with both, in turns, after ``mmdit export --int8``.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmdit.engine.command_line import (
    add_cfg_options,
    config_path,
    open_config,
)
from mmdit.registry import DATASETS
from mmdit.runtime.onnx import OnnxSegmenter
from mmdit.runtime.settings import FLOAT32, INT8


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'config', type=config_path, help='path of a config, or its name'
    )
    parser.add_argument('folder', type=Path, help='what was exported')
    parser.add_argument('--threads', type=int, default=1)
    add_cfg_options(parser, 'test_dataloader.dataset.split=testA')
    return parser.parse_args()


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Return the IoU of two masks; that of two empty ones is 1."""
    union = np.sum(one | other)
    return float(np.sum(one & other) / union) if union else 1.0


def main() -> None:
    """Predict, score and print a table."""
    args = parse_args()
    cfg = open_config(args.config, args.cfg_options)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    models = {
        suffix: OnnxSegmenter(args.folder, args.threads, int8=suffix == INT8)
        for suffix in (FLOAT32, INT8)
    }
    scores: dict[str, list[float]] = {suffix: [] for suffix in models}
    seconds = dict.fromkeys(models, 0.0)
    alike = []
    for i in track(range(len(dataset)), console=Console(stderr=True)):
        sample = dataset[i]['data_samples']
        truth = sample.gt_sem_seg.data[0].numpy() > 0
        masks = []
        for suffix, model in models.items():
            start = time.process_time()
            (found,) = model.probabilities(
                sample.img_path, [sample.expression]
            )
            seconds[suffix] += time.process_time() - start
            masks.append(found > model.threshold)
            scores[suffix].append(iou(masks[-1], truth))
        alike.append(iou(*masks))
    table = Table('weights', 'MB', 'mIoU', 'CPU ms of an expression')
    for suffix in models:
        files = (args.folder / f'{name}{suffix}' for name in ('text', 'mask'))
        table.add_row(
            suffix,
            f'{sum(path.stat().st_size for path in files) / 1e6:.2f}',
            f'{100 * np.mean(scores[suffix]):.2f}',
            f'{1e3 * seconds[suffix] / len(dataset):.2f}',
        )
    console = Console()
    console.print(table)
    console.print(
        f'IoU of one with the other: mean {np.mean(alike):.4f}, 1st '
        f'percentile {np.percentile(alike, 1):.4f}, {len(dataset)} expressions'
    )


if __name__ == '__main__':
    main()
