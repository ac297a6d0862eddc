"""mIoU, oIoU, P@X and GRES's scores of referring segmentation, exactly."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
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

from mmdit.files import open_text
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
# Ids are unique within a data set only.
_SOURCE_KEYS = ('dataset', 'split')


@METRICS.register_module()
class ReferIoUMetric(BaseMetric):
    """Score masks against ground truth, one row per expression, in percent.

    With I and U the pixels of intersection and union at the size of the
    original image: mIoU is the mean of I / U, oIoU is sum(I) / sum(U), and
    P@X the share of expressions with I / U > X, strictly, as the method's
    authors count. Much code of the field counts I / U = X too (``>=``): then
    its P@0.5 of small masks, where ties are frequent, is a little higher. An
    empty prediction of an empty ground truth counts as IoU 1, gRefCOCO's
    convention.

    ``generalized`` adds the scores of gRefCOCO, which has no-target
    expressions (Liu et al., "GRES: Generalized Referring Expression
    Segmentation", CVPR 2023). An expression is no-target if its ground truth
    is empty; the model predicts that by an empty mask. Then

    - gIoU is mIoU by another name: the mean of I / U over all expressions,
      where no-target ones count 1 if the prediction is empty, else 0;
    - cIoU is oIoU: sum(I) / sum(U). A no-target expression adds nothing if
      the prediction is empty, else the predicted pixels to sum(U);
    - N-acc is the share of no-target expressions with an empty prediction:
      TP / (TP + FN);
    - T-acc is the share of the other expressions with a prediction that is
      not empty, whatever it is: TN / (TN + FP);
    - P@X is taken over the other expressions.

    A share of no expressions at all is NaN. The benchmark's code
    (https://github.com/henghuiding/ReLA, gres_model/evaluation/
    refer_evaluation.py, since commit 884ef17) has the same N-acc and T-acc.
    It counts P@X from X itself on, and for an object declared absent by its
    classifier the mask still counts in sum(U).

    All numbers come from integers, and rows are put into the order of the
    data set first: the result does not depend on how many processes
    evaluated, on batches or on samplers.

    Args:
        out_file: Where to write one row per expression, ``.json`` or
            ``.csv``: what identifies the item, with ``dataset`` and ``split``
            where items have them, ``height`` and ``width`` of its image, the
            pixels of ``truth``, ``predicted``, ``intersection`` and
            ``union``, and ``iou``.
        thresholds: The X of P@X.
        generalized: Add gIoU, cIoU, N-acc and T-acc, and ``no_target`` to the
            rows.
        min_pixels: A mask of fewer pixels counts as empty. GRES takes 50 for
            models that have no other way to predict no-target.
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
        generalized: bool = False,
        min_pixels: int = 0,
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
        if min_pixels < 0:
            raise ValueError(
                f'min_pixels must be 0 or more pixels, got {min_pixels}'
            )
        self.generalized = generalized
        self.min_pixels = min_pixels
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
        for row, (both, predicted, true, other, undefined) in zip(
            rows, torch.stack(counts).tolist(), strict=True
        ):
            if other:
                raise ValueError(
                    f'masks of sample_idx {row["sample_idx"]} hold {other} '
                    'values other than 0 and 1; pred_sem_seg must be '
                    'thresholded, gt_sem_seg comes from LoadReferMask'
                )
            if undefined:
                raise ValueError(
                    f'the prediction of {row["expression"]!r} on '
                    f'{row["img_path"]} (sample_idx {row["sample_idx"]}) is '
                    f'not a number (NaN) at {undefined} pixels: the weights '
                    'are damaged, or too large for the precision that the '
                    'model runs in'
                )
            if predicted < self.min_pixels:
                both = predicted = 0
            union = predicted + true - both
            row.update(
                truth=true,
                predicted=predicted,
                intersection=both,
                union=union,
                iou=both / union if union else 1.0,
            )
            if self.generalized:
                row.update(no_target=not true)
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
        if self.generalized:
            nothing = [row for row in results if row['no_target']]
            results = [row for row in results if not row['no_target']]
            metrics.update(
                {
                    'gIoU': metrics['mIoU'],
                    'cIoU': metrics['oIoU'],
                    'N-acc': _percent(not r['predicted'] for r in nothing),
                    'T-acc': _percent(r['predicted'] > 0 for r in results),
                }
            )
        for name, threshold in self.thresholds.items():
            metrics[name] = _percent(_exceeds(r, threshold) for r in results)
        return metrics


def write_rows(rows: list[dict], path: Path) -> None:
    """Write the rows to a .json or .csv file, whole or not at all."""
    with open_text(path) as file:
        if path.suffix == '.json':
            json.dump(rows, file, ensure_ascii=False, indent=1)
        else:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _named_row(sample: dict) -> dict:
    """Return the row that says which item this is."""
    missing = [key for key in _ID_KEYS if key not in sample]
    if missing:
        raise KeyError(
            f'no {", ".join(missing)} in the data sample; ReferIoUMetric '
            'needs it in meta_keys of PackReferSegInputs'
        )
    height, width = sample['ori_shape'][:2]
    source = {key: sample[key] for key in _SOURCE_KEYS if key in sample}
    return {key: sample[key] for key in _ID_KEYS} | dict(
        **source, height=int(height), width=int(width)
    )


def _count_pixels(sample: dict) -> Tensor:
    """Count pixels.

    Returns:
        (5,) int64: the intersection, the prediction, the ground truth, values
        that are not 0 or 1, and probabilities that are not numbers.
    """
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
    undefined = torch.zeros_like(other)
    if 'seg_logits' in sample:
        undefined = (~sample['seg_logits']['data'].isfinite()).sum()
    return torch.stack(
        [(marked & wanted).sum(), marked.sum(), wanted.sum(), other, undefined]
    )


def _percent(hits: Iterable[bool]) -> float:
    """Return the percentage of hits, NaN of none."""
    found = list(hits)
    return 100 * sum(found) / len(found) if found else math.nan


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
