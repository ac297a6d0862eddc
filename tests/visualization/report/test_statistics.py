import itertools
import math

import numpy as np
import pytest
import scipy.stats
from report_rows import make_results, make_rows, write_json

from mmdit.evaluation import ReferIoUMetric
from mmdit.visualization.report import (
    Bootstrap,
    Ratio,
    metric_ratios,
    read_results,
)


def values(results, **kwargs):
    ratios = metric_ratios(results, **kwargs)
    estimates = Bootstrap(results.img_paths, draws=10).estimate(
        list(ratios.values())
    )
    return {k: e.value for k, e in zip(ratios, estimates, strict=True)}


def test_three_expressions_by_hand():
    found = values(make_results([1, 6, 19], [2, 8, 20]), thresholds=[0.75])
    expected = {'mIoU': 220 / 3, 'oIoU': 100 * 26 / 30, 'P@0.75': 100 / 3}
    assert found == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize('generalized', [False, True])
def test_values_are_those_of_the_metric(tmp_path, generalized):
    rows = make_rows(60, generalized=generalized)
    results = read_results(write_json(tmp_path / 'a.json', rows))
    expected = ReferIoUMetric(generalized=generalized).compute_metrics(rows)
    found = values(results)
    assert len(found) == (9 if generalized else 7)
    assert found == pytest.approx(
        {name: expected[name] for name in found}, rel=1e-14
    )


def test_empty_answers_to_empty_truths_are_right():
    zeros = np.zeros(2, int)
    found = values(
        make_results(
            zeros, zeros, ground_truth=zeros, predicted=zeros, generalized=True
        )
    )
    assert found['mIoU'] == found['oIoU'] == found['N-acc'] == 100
    assert math.isnan(found['T-acc']) and math.isnan(found['P@0.5'])


def test_draws_are_those_of_all_ways_to_draw_two_of_two_images():
    # Image a has two expressions, b one. Of four equally likely draws, one
    # is a twice, one b twice, and two hold both.
    results = make_results([1, 3, 2], [4, 4, 8], images=[0, 0, 1])
    bootstrap = Bootstrap(results.img_paths, draws=20000)
    ratios = metric_ratios(results)
    drawn = bootstrap.draw([ratios['mIoU'], ratios['oIoU']])
    expected = {
        # mIoU: (1/4 + 3/4) / 2; (1/4 + 3/4 + 2/8) / 3; 2/8
        0: {50.0: 1 / 4, 100 * 1.25 / 3: 1 / 2, 25.0: 1 / 4},
        # oIoU: 4/8; (4 + 2) / (8 + 8); 2/8
        1: {50.0: 1 / 4, 37.5: 1 / 2, 25.0: 1 / 4},
    }
    for column, outcomes in expected.items():
        total = 0
        for value, probability in outcomes.items():
            share = np.isclose(drawn[:, column], value).mean()
            # four standard deviations
            assert abs(share - probability) < 4 * 0.5 / math.sqrt(20000)
            total += share
        assert total == pytest.approx(1)
    # Both metrics of a draw are of the same images.
    assert ((drawn[:, 0] == 50) == (drawn[:, 1] == 50)).all()


def test_interval_equals_that_of_all_draws_of_three_images():
    both, union = np.array([1, 5, 9]), np.array([10, 10, 40])
    ratios = sorted(
        100 * both[list(draw)].sum() / union[list(draw)].sum()
        for draw in itertools.product(range(3), repeat=3)
    )
    results = make_results(both, union)
    # Level 0.8 cuts 2.7 of the 27 draws off, inside of a step.
    (estimate,) = Bootstrap(results.img_paths, 5000, level=0.8).estimate(
        [metric_ratios(results)['oIoU']]
    )
    assert estimate.value == pytest.approx(100 * 15 / 60)
    assert estimate.low == pytest.approx(ratios[2])
    assert estimate.high == pytest.approx(ratios[-3])


@pytest.mark.parametrize('name', ['mIoU', 'oIoU', 'P@0.7'])
def test_intervals_equal_scipy(tmp_path, name):
    rows = make_rows(300, per_image=3)
    results = read_results(write_json(tmp_path / 'a.json', rows))
    ratio = metric_ratios(results)[name]
    # Sums of each image, for scipy draws independent items.
    numerator = np.asarray(ratio.numerator, float).reshape(-1, 3).sum(1)
    denominator = np.asarray(ratio.denominator, float).reshape(-1, 3).sum(1)
    expected = scipy.stats.bootstrap(
        (numerator, denominator),
        lambda a, b, axis: 100 * a.sum(axis) / b.sum(axis),
        paired=True,
        method='percentile',
        n_resamples=20000,
        rng=1,
    )
    (found,) = Bootstrap(results.img_paths, draws=20000).estimate([ratio])
    # The ends of 20000 draws scatter by about 0.02 standard deviations.
    tolerance = 0.1 * expected.standard_error
    interval = expected.confidence_interval
    assert found.low == pytest.approx(interval.low, abs=tolerance)
    assert found.high == pytest.approx(interval.high, abs=tolerance)


def test_expressions_of_one_image_widen_the_interval():
    rng = np.random.default_rng(0)
    of_image = rng.integers(0, 100, 50)
    both = np.repeat(of_image, 8)
    clustered = make_results(
        both, np.full(400, 100), images=[i // 8 for i in range(400)]
    )
    (found,) = Bootstrap(clustered.img_paths).estimate(
        [metric_ratios(clustered)['mIoU']]
    )
    # The mean of 50 independent values, by the normal distribution.
    half = scipy.stats.norm.ppf(0.975) * of_image.std() / math.sqrt(50)
    assert found.low == pytest.approx(of_image.mean() - half, rel=0.05)
    assert found.high == pytest.approx(of_image.mean() + half, rel=0.05)


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    both = rng.integers(0, 90, 100)
    union = np.full(100, 100)
    better = make_results(both + 5, union)
    bootstrap = Bootstrap(better.img_paths)
    (found,) = bootstrap.estimate_differences(
        [metric_ratios(better)['mIoU']],
        [metric_ratios(make_results(both, union))['mIoU']],
    )
    # Each expression gains 5: whatever is drawn, so does the mean.
    assert found == pytest.approx((5, 5, 5))


def test_differences_equal_scipy():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 100, (2, 80))
    union = np.full(80, 100)
    results = [make_results(both, union) for both in (one, other)]
    (found,) = Bootstrap(results[0].img_paths, 20000).estimate_differences(
        *[[metric_ratios(r)['mIoU']] for r in results]
    )
    expected = scipy.stats.bootstrap(
        (one - other,), np.mean, method='percentile', n_resamples=20000, rng=1
    )
    interval = expected.confidence_interval
    tolerance = 0.1 * expected.standard_error
    assert found.value == pytest.approx((one - other).mean())
    assert found.low == pytest.approx(interval.low, abs=tolerance)
    assert found.high == pytest.approx(interval.high, abs=tolerance)


def test_groups_are_of_their_rows_alone():
    results = make_results([1, 2, 3, 4], [10, 10, 10, 20])
    rows = np.array([True, False, True, False])
    ratios = metric_ratios(results)
    bootstrap = Bootstrap(results.img_paths)
    found = bootstrap.estimate(
        [ratios['mIoU'].within(rows), ratios['oIoU'].within(rows)]
    )
    for estimate in found:
        assert estimate.value == pytest.approx(20)
        assert (estimate.low, estimate.high) == pytest.approx((10, 30))
    assert bootstrap.count_images(rows) == 2


def test_one_image_has_no_interval():
    results = make_results([1, 2], [4, 4], images=[0, 0])
    (found,) = Bootstrap(results.img_paths).estimate(
        [metric_ratios(results)['mIoU']]
    )
    assert found.value == pytest.approx(37.5)
    assert math.isnan(found.low) and math.isnan(found.high)


def test_the_seed_fixes_the_draws():
    results = make_results(range(20), [20] * 20)
    ratios = [metric_ratios(results)['mIoU']]
    one, again, other = (
        Bootstrap(results.img_paths, 300, seed).estimate(ratios)
        for seed in (0, 0, 1)
    )
    assert one == again != other


def test_values_out_of_range_are_rejected():
    with pytest.raises(ValueError, match='draws must be 1 or more, got 0'):
        Bootstrap(['a'], draws=0)
    with pytest.raises(ValueError, match='level .* got 95'):
        Bootstrap(['a'], level=95)


def test_denominators_of_0():
    zeros = np.zeros(2)
    bootstrap = Bootstrap(['a', 'b'])
    for some, expected in ((True, 100), (False, math.nan)):
        ratio = Ratio(zeros, zeros, np.array([some, some]), empty=100.0)
        (found,) = bootstrap.estimate([ratio])
        assert found.value == pytest.approx(expected, nan_ok=True)
