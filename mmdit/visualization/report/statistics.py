"""Metrics with bootstrap intervals, from result rows.

Every metric here is a ratio of two sums over the expressions: mIoU of the
IoUs and their number, oIoU of intersections and unions, P@X of hits and their
number. The expressions of one image are not independent, so that whole images
are drawn, with replacement, and the ratio is taken of each draw's sums; an
interval holds the middle 95 % of the draws (percentile bootstrap of clusters).

Shapes: N expressions (rows), G images, K ratios, B draws.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .rows import Results

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
_BLOCK = 250  # draws at a time, which bounds memory


class Ratio(NamedTuple):
    """A metric, 100 * sum(numerator) / sum(denominator).

    Args:
        numerator: (N,), 0 where a row does not count.
        denominator: (N,), 0 where a row does not count.
        rows: (N,) bool, which rows it is of.
        empty: Its value in percent where it is of rows, yet their
            denominators are 0. Of no rows at all it is NaN.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    rows: np.ndarray
    empty: float = math.nan

    def within(self, rows: np.ndarray) -> 'Ratio':
        """Return the same metric of the rows (N,) bool that are true."""
        return self._replace(
            numerator=self.numerator * rows,
            denominator=self.denominator * rows,
            rows=self.rows & rows,
        )


class Estimate(NamedTuple):
    """A value with the ends of its interval, NaN where there is none."""

    value: float
    low: float
    high: float


def metric_ratios(
    results: Results, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, Ratio]:
    """Return the metrics of :class:`~mmdit.evaluation.ReferIoUMetric`.

    Args:
        results: N rows.
        thresholds: The X of P@X.
    """
    every, nothing = np.ones(len(results), bool), results.no_target
    something = ~nothing
    ratios = {
        'mIoU': Ratio(results.iou, every, every),
        'oIoU': Ratio(results.intersection, results.union, every, 100.0),
    }
    if results.generalized:
        assert results.predicted is not None
        found = results.predicted > 0
        ratios['N-acc'] = Ratio(nothing & ~found, nothing, nothing)
        ratios['T-acc'] = Ratio(something & found, something, something)
    for threshold in thresholds:
        exact = Fraction(str(threshold))
        above = (
            results.intersection * exact.denominator
            > results.union * exact.numerator
        )
        # An empty prediction of an empty ground truth has IoU 1.
        hits = above | ((results.union == 0) & (exact < 1))
        ratios[f'P@{threshold}'] = Ratio(
            hits & something, something, something
        )
    return ratios


class Bootstrap:
    """Draw images, with replacement.

    The draws depend on the images and the seed alone. So metrics of two
    models, or of two groups, are paired: draw b is of the same images.

    Args:
        img_paths: Image of each of the N rows.
        draws: Number of draws B.
        seed: Seed of the draws.
        level: Share of the draws that an interval holds.
    """

    def __init__(
        self,
        img_paths: Sequence[str],
        draws: int = 2000,
        seed: int = 0,
        level: float = 0.95,
    ) -> None:
        if draws < 1:
            raise ValueError(f'draws must be 1 or more, got {draws}')
        if not 0 < level < 1:
            raise ValueError(f'level must be between 0 and 1, got {level}')
        distinct, self.images = np.unique(img_paths, return_inverse=True)
        self.num_images = len(distinct)
        self.draws, self.seed, self.level = draws, seed, level

    def count_images(self, rows: np.ndarray) -> int:
        """Return the number of images of the rows (N,) bool that are true."""
        return len(np.unique(self.images[rows]))

    def estimate(self, ratios: Sequence[Ratio]) -> list[Estimate]:
        """Return each ratio's value and interval.

        A ratio of fewer than two images has no interval. Draws in which a
        metric is not defined are left out of its interval.
        """
        values = [_value(ratio) for ratio in ratios]
        return self._intervals(values, self.draw(ratios), ratios)

    def estimate_differences(
        self, ratios: Sequence[Ratio], others: Sequence[Ratio]
    ) -> list[Estimate]:
        """Return ``ratios - others``, pair by pair, with the intervals."""
        values = [
            _value(a) - _value(b) for a, b in zip(ratios, others, strict=True)
        ]
        drawn = self.draw(ratios) - self.draw(others)
        return self._intervals(values, drawn, ratios)

    def draw(self, ratios: Sequence[Ratio]) -> np.ndarray:
        """Return (B, K), the ratios of each draw, in percent."""
        columns = np.stack([c for r in ratios for c in r[:3]], axis=1)
        per_image = np.zeros((self.num_images, columns.shape[1]))
        np.add.at(per_image, self.images, columns)
        rng = np.random.default_rng(self.seed)
        shares = np.full(self.num_images, 1 / self.num_images)
        sums = np.concatenate(
            [
                # How often each image is in each draw of this block.
                rng.multinomial(
                    self.num_images, shares, min(_BLOCK, self.draws - start)
                ).astype(float)
                @ per_image
                for start in range(0, self.draws, _BLOCK)
            ]
        )
        empty = np.array([ratio.empty for ratio in ratios])
        return _percent(sums[:, ::3], sums[:, 1::3], sums[:, 2::3], empty)

    def _intervals(
        self,
        values: Sequence[float],
        drawn: np.ndarray,
        ratios: Sequence[Ratio],
    ) -> list[Estimate]:
        """Join values and the intervals of their draws."""
        tail = (1 - self.level) / 2
        estimates = []
        for value, draws, ratio in zip(values, drawn.T, ratios, strict=True):
            draws = draws[~np.isnan(draws)]
            low = high = math.nan
            if len(draws) and self.count_images(ratio.rows) > 1:
                low, high = np.quantile(draws, [tail, 1 - tail])
            estimates.append(Estimate(value, float(low), float(high)))
        return estimates


def _value(ratio: Ratio) -> float:
    """Return a metric's value in percent."""
    # fsum rounds once, whatever the order.
    numerator, denominator, rows = (
        np.float64(math.fsum(c)) for c in ratio[:3]
    )
    return float(_percent(numerator, denominator, rows, ratio.empty))


def _percent(
    numerator: np.ndarray,
    denominator: np.ndarray,
    rows: np.ndarray,
    empty: float | np.ndarray,
) -> np.ndarray:
    """Divide sums; see :class:`Ratio` for denominators of 0."""
    nothing = denominator == 0
    share = 100 * numerator / np.where(nothing, 1, denominator)
    return np.where(nothing, np.where(rows > 0, empty, math.nan), share)
