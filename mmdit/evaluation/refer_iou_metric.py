"""mIoU, oIoU, P@X and GRES's scores of referring segmentation, exactly."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmdit.registry import METRICS

from .row_files import OrderedRows, RowFile, write_rows

_ID_KEYS = (
    'sample_idx',
    'image_id',
    'ref_id',
    'ann_id',
    'sent_id',
    'expression',
    'img_path',
)
# What the scores are made of.
_SCORED = (
    'sample_idx',
    'predicted',
    'intersection',
    'union',
    'iou',
    'no_target',
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
    evaluated, on batches or on samplers. Until then rows are in files, in the
    folder of ``out_file`` or that of temporary files: memory does not grow.

    Args:
        out_file: Where to write one row per expression, ``.json`` or
            ``.csv``: what identifies the item, with ``dataset`` and ``split``
            where items have them, ``height`` and ``width`` of its image, the
            pixels of ``ground_truth``, ``predicted``, ``intersection`` and
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
        self.out_file = None if out_file is None else Path(out_file)
        if self.out_file and self.out_file.suffix not in ('.json', '.csv'):
            raise ValueError(
                f'out_file must end in .json or .csv, got {out_file}'
            )
        if min_pixels < 0:
            raise ValueError(
                f'min_pixels must be 0 or more pixels, got {min_pixels}'
            )
        self._rows = RowFile(self.out_file and self.out_file.parent)
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
                ground_truth=true,
                predicted=predicted,
                intersection=both,
                union=union,
                iou=both / union if union else 1.0,
            )
            if self.generalized:
                row.update(no_target=not true)
        if self.out_file is None:
            rows = [{k: r[k] for k in _SCORED if k in r} for r in rows]
        self._rows.extend(rows)

    def evaluate(self, size: int) -> dict:
        """Gather the rows of all processes and score the data set.

        MMEngine's own way would interleave the ranks' rows, stop at the
        shortest and trust that what lies beyond ``size`` are repetitions.

        Args:
            size: Number of items of the data set.

        Returns:
            The metrics, the same on all ranks.
        """
        outcome: list[Any] = [None]
        try:
            parts = self._rows.gather(self.collect_device, self.collect_dir)
            if is_main_process():
                outcome = [self._score(OrderedRows(parts, size))]
        # The other ranks wait: they must learn of it before we stop.
        except Exception as error:
            outcome = [error]
        self._rows.clear()
        broadcast_object_list(outcome)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _score(self, rows: OrderedRows) -> dict:
        """Score the rows of all ranks, and write them."""
        metrics = self.compute_metrics(rows)
        try:
            if self.out_file is not None:
                write_rows(rows, self.out_file)
        # An evaluation may have taken hours.
        except OSError as error:
            raise OSError(
                f'{self.out_file} cannot be written ({error}); the scores '
                f'are {metrics}'
            ) from error
        if self.prefix:
            metrics = {f'{self.prefix}/{k}': v for k, v in metrics.items()}
        return metrics

    def compute_metrics(self, results: Iterable[dict]) -> dict:
        """Score the rows, of which there is one per expression.

        They are gone through once, so that they need not be in memory.
        """
        n: Counter[str] = Counter()
        # fsum rounds once, whatever the order.
        mean_iou = math.fsum(self._count(results, n)) / n['rows']
        metrics = dict(
            mIoU=100 * mean_iou,
            oIoU=100 * (n['intersection'] / n['union'] if n['union'] else 1.0),
        )
        if self.generalized:
            metrics.update(
                {
                    'gIoU': metrics['mIoU'],
                    'cIoU': metrics['oIoU'],
                    'N-acc': _percent(n['rightly empty'], n['no-target']),
                    'T-acc': _percent(n['not empty'], n['targets']),
                }
            )
        for name in self.thresholds:
            metrics[name] = _percent(n[name], n['targets'])
        return metrics

    def _count(self, rows: Iterable[dict], n: Counter[str]) -> Iterator[float]:
        """Add up what rows count, and yield the IoU of each."""
        for row in rows:
            n['rows'] += 1
            n['union'] += row['union']
            n['intersection'] += row['intersection']
            if self.generalized and row['no_target']:
                n['no-target'] += 1
                n['rightly empty'] += not row['predicted']
            else:
                n['targets'] += 1
                n['not empty'] += self.generalized and row['predicted'] > 0
                for name, threshold in self.thresholds.items():
                    n[name] += _exceeds(row, threshold)
            yield row['iou']


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
    gt = sample['gt_sem_seg']['data'].to(prediction.device)
    shapes = {
        'pred_sem_seg': tuple(prediction.shape[-2:]),
        'gt_sem_seg': tuple(gt.shape[-2:]),
        'ori_shape': tuple(sample['ori_shape'][:2]),
    }
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f'sample_idx {sample["sample_idx"]} has masks of different sizes: '
            f'{shapes}; masks are scored at the size of the original image: '
            'LoadReferMask must come after Resize in the test pipeline'
        )
    marked, wanted = prediction != 0, gt != 0
    other = (marked & (prediction != 1)).sum() + (wanted & (gt != 1)).sum()
    undefined = torch.zeros_like(other)
    if 'seg_logits' in sample:
        undefined = (~sample['seg_logits']['data'].isfinite()).sum()
    return torch.stack(
        [(marked & wanted).sum(), marked.sum(), wanted.sum(), other, undefined]
    )


def _percent(hits: int, number: int) -> float:
    """Return the percentage of hits, NaN of none."""
    return 100 * hits / number if number else math.nan


def _exceeds(row: dict, threshold: Fraction) -> bool:
    """Tell whether the IoU is above the threshold, in integers."""
    if not row['union']:
        return threshold < 1
    return (
        row['intersection'] * threshold.denominator
        > row['union'] * threshold.numerator
    )
