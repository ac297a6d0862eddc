"""Score a model before and after simulated refinement clicks.

``python benchmarks/measure_clicks.py CONFIG CHECKPOINT`` predicts every
expression of the test set, clicks in the center of the larger error region,
and predicts again with the points so far and the last mask.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmdit.checkpoints.loading import load_weights
from mmdit.datasets.transforms.sample_prompts import PADDING, SamplePrompts
from mmdit.engine.command_line import add_cfg_options, open_config
from mmdit.registry import METRICS, MODELS

INNERMOST = SamplePrompts(kinds=('point',), random=False)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('config', help='config of the model')
    parser.add_argument('checkpoint', help='checkpoint file, directory or URL')
    parser.add_argument(
        '--clicks', type=int, default=3, help='clicks on each mask (default 3)'
    )
    add_cfg_options(parser, 'test_dataloader.dataset.split=testA')
    return parser.parse_args()


@torch.no_grad()
def predict(
    model: Any, batch: dict, clicks: int
) -> Iterator[list[SegDataSample]]:
    """Yield the predictions of a batch after 0, 1, ... clicks."""
    samples = list(batch['data_samples'])
    for _ in range(clicks + 1):
        predictions = model.test_step(dict(batch, data_samples=samples))
        yield predictions
        samples = [
            add_click(sample, prediction)
            for sample, prediction in zip(samples, predictions, strict=True)
        ]


def add_click(
    sample: SegDataSample, prediction: SegDataSample
) -> SegDataSample:
    """Return a data sample with one more click, if its mask is wrong.

    The click lies in the larger of false negatives and false positives.
    """
    truth, found = (
        data.data[0].cpu().numpy() > 0
        for data in (prediction.gt_sem_seg, prediction.pred_sem_seg)
    )
    missed, surplus = truth & ~found, found & ~truth
    label = int(missed.sum() >= surplus.sum())
    error = missed if label else surplus
    if not error.any():
        return sample
    item = dict(
        img=np.empty((*sample.img_shape[:2], 0)),
        gt_seg_map=error.astype(np.uint8),
    )
    click = torch.from_numpy(INNERMOST(item)['prompt_points'])
    labels = torch.tensor([label, PADDING])
    sample = sample.clone()
    if 'prompts' in sample:
        given = sample.prompts.labels != PADDING
        click = torch.cat([sample.prompts.points[given], click])
        labels = torch.cat([sample.prompts.labels[given], labels])
    # As in SAM, points without a box end with padding.
    number = len(labels) - int((labels > 1).any())
    sample.prompts = InstanceData(
        points=click[:number], labels=labels[:number]
    )
    masks = prediction.pred_masks
    logits = masks.low_res_masks[masks.scores.argmax()][None]
    sample.mask_input = PixelData(data=logits)
    return sample


def main() -> None:
    """Score each number of clicks and print a table."""
    args = parse_args()
    cfg = open_config(args.config, args.cfg_options)
    model = MODELS.build(cfg.model).to(get_device()).eval()
    load_weights(model, cfg, args.checkpoint)
    loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
    metrics = []
    for _ in range(args.clicks + 1):
        metrics.append(METRICS.build(dict(type='ReferIoUMetric')))
    for batch in track(loader, 'Clicking', console=Console(stderr=True)):
        predictions = predict(model, batch, args.clicks)
        for metric, samples in zip(metrics, predictions, strict=True):
            metric.process(None, [sample.to_dict() for sample in samples])
    rows = [metric.evaluate(len(loader.dataset)) for metric in metrics]
    table = Table('clicks', *rows[0])
    for clicks, row in enumerate(rows):
        table.add_row(str(clicks), *(f'{value:.2f}' for value in row.values()))
    Console().print(table)


if __name__ == '__main__':
    main()
