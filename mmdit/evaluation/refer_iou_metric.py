"""mIoU, oIoU and P@X of referring segmentation, exact and complete."""

import csv
import json
import math
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import (
    broadcast_object_list,
    collect_results,
    get_world_size,
    is_main_process,
)
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmdit.registry import METRICS

_ID_KEYS = (
    'sample_idx',
    'image_id',
    'ref_id',
    'ann_id',
    'sent_id',
    'expression',
    'img_path',
)
_COLUMNS = (*_ID_KEYS, 'intersection', 'union', 'iou')


@METRICS.register_module()
class ReferIoUMetric(BaseMetric):
    """Score masks against the truth, one row per expression, in percent.

    With I and U the pixels of intersection and union at the size of the
    original image: mIoU is the mean of I / U, oIoU is sum(I) / sum(U), and
    P@X the share of expressions with I / U > X, strictly. An empty truth that
    is answered by an empty mask counts as IoU 1, gRefCOCO's convention.

    All numbers come from integers, and rows are put into the order of the
    data set first: the result does not depend on how many processes
    evaluated, on batches or on samplers.

    Args:
        out_file: Where to write one row per expression, ``.json`` or
            ``.csv``.
        thresholds: The X of P@X.
        collect_device: How rows travel, ``'cpu'`` by files in a folder that
            all processes share, ``'gpu'`` by the collectives of the backend.
        prefix: As in MMEngine's ``BaseMetric``.
        collect_dir: The shared folder.
    """

    # Not None, or MMEngine warns that there is no prefix.
    default_prefix = ''

    def __init__(
        self,
        out_file: str | Path | None = None,
        thresholds: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9),
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.results: list[dict] = []
        self.out_file = None if out_file is None else Path(out_file)
        if self.out_file and self.out_file.suffix not in ('.json', '.csv'):
            raise ValueError(
                f'out_file must end in .json or .csv, got {out_file}'
            )
        # 0.6 * 5 need not be 3 in floating point; 3/5 of 5 is.
        self.thresholds = {f'P@{x}': Fraction(str(x)) for x in thresholds}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add a row for each sample.

        Args:
            data_batch: Not used.
            data_samples: Samples as dicts, with ``pred_sem_seg.data`` and
                ``gt_sem_seg.data`` (1, H0, W0), 0 or 1, and their metainfo.
        """
        rows = [_named_row(sample) for sample in data_samples]
        counts = [_count_pixels(sample) for sample in data_samples]
        # One transfer for the whole batch: each one waits for the device.
        for row, (intersection, union, other) in zip(
            rows, torch.stack(counts).tolist(), strict=True
        ):
            if other:
                raise ValueError(
                    f'masks of sample_idx {row["sample_idx"]} hold {other} '
                    'values other than 0 and 1; pred_sem_seg must be '
                    'thresholded, gt_sem_seg comes from LoadReferMask'
                )
            row.update(
                intersection=intersection,
                union=union,
                iou=intersection / union if union else 1.0,
            )
        self.results.extend(rows)

    def evaluate(self, size: int) -> dict:
        """Gather the rows of all processes and score the data set.

        MMEngine's own way would interleave the ranks' rows, stop at the
        shortest and trust that what lies beyond ``size`` are repetitions.

        Args:
            size: Number of items of the data set.

        Returns:
            The metrics, the same on all ranks.
        """
        # One element per rank, so that nothing is cut.
        parts = collect_results(
            [self.results],
            get_world_size(),
            self.collect_device,
            self.collect_dir,
        )
        self.results = []
        outcome: list[Any] = [None]
        if is_main_process():
            assert parts is not None
            try:
                outcome = [self._score(parts, size)]
            # The other ranks wait: they must learn of it before we stop.
            except Exception as error:
                outcome = [error]
        broadcast_object_list(outcome)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _score(self, parts: list[list[dict]], size: int) -> dict:
        """Score the rows of all ranks, and write them."""
        distinct: dict[int, dict] = {}
        # Samplers repeat items at the end: the first row is the item's own.
        for row in (row for part in parts for row in part):
            distinct.setdefault(row['sample_idx'], row)
        _check_complete(set(distinct), size)
        rows = [distinct[idx] for idx in sorted(distinct)]
        metrics = self.compute_metrics(rows)
        if self.out_file is not None:
            write_rows(rows, self.out_file)
        if self.prefix:
            metrics = {f'{self.prefix}/{k}': v for k, v in metrics.items()}
        return metrics

    def compute_metrics(self, results: list[dict]) -> dict:
        """Score the rows, of which there is one per expression."""
        number = len(results)
        union = sum(row['union'] for row in results)
        intersection = sum(row['intersection'] for row in results)
        # fsum rounds once, whatever the order.
        mean_iou = math.fsum(row['iou'] for row in results) / number
        metrics = dict(
            mIoU=100 * mean_iou,
            oIoU=100 * (intersection / union if union else 1.0),
        )
        for name, threshold in self.thresholds.items():
            hits = sum(_exceeds(row, threshold) for row in results)
            metrics[name] = 100 * hits / number
        return metrics


def write_rows(rows: list[dict], path: Path) -> None:
    """Write the rows to a .json or .csv file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        with open(temporary, 'w', encoding='utf-8', newline='') as file:
            if path.suffix == '.json':
                json.dump(rows, file, ensure_ascii=False, indent=1)
            else:
                writer = csv.DictWriter(file, _COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _named_row(sample: dict) -> dict:
    """Return the row that says which item this is."""
    missing = [key for key in _ID_KEYS if key not in sample]
    if missing:
        raise KeyError(
            f'no {", ".join(missing)} in the data sample; ReferIoUMetric '
            'needs it in meta_keys of PackReferSegInputs'
        )
    return {key: sample[key] for key in _ID_KEYS}


def _count_pixels(sample: dict) -> Tensor:
    """Return (3,) int64: intersection, union, values that are not 0 or 1."""
    prediction = sample['pred_sem_seg']['data']
    truth = sample['gt_sem_seg']['data'].to(prediction.device)
    shapes = {
        'pred_sem_seg': tuple(prediction.shape[-2:]),
        'gt_sem_seg': tuple(truth.shape[-2:]),
        'ori_shape': tuple(sample['ori_shape'][:2]),
    }
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f'sample_idx {sample["sample_idx"]} has masks of different sizes: '
            f'{shapes}; masks are scored at the size of the original image: '
            'LoadReferMask must come after Resize in the test pipeline'
        )
    marked, wanted = prediction != 0, truth != 0
    other = (marked & (prediction != 1)).sum() + (wanted & (truth != 1)).sum()
    return torch.stack(
        [(marked & wanted).sum(), (marked | wanted).sum(), other]
    )


def _exceeds(row: dict, threshold: Fraction) -> bool:
    """Tell whether the IoU is above the threshold, in integers."""
    if not row['union']:
        return threshold < 1
    return (
        row['intersection'] * threshold.denominator
        > row['union'] * threshold.numerator
    )


def _check_complete(found: set[int], size: int) -> None:
    """Raise unless each item of the data set has its row."""
    if found == set(range(size)) and size:
        return
    missing = sorted(set(range(size)) - found)
    raise RuntimeError(
        f'expected one result for each of {size} items, got {len(found)} '
        f'distinct ones; {len(missing)} are missing, sample_idx '
        f'{missing[:10]}{"..." if len(missing) > 10 else ""}. Evaluate one '
        'data set per data loader, without dropping items'
    )
