import csv
import json

import numpy as np
import pytest
from metric_samples import evaluate, make_sample

from mmdit.evaluation import ReferIoUMetric


def pixels(predicted, true, both, size=120):
    """Return prediction and truth (1, size) with these numbers of pixels."""
    prediction, truth = np.zeros((2, 1, size), int)
    prediction[0, :predicted] = 1
    start = predicted - both
    truth[0, start : start + true] = 1
    return prediction, truth


GENERALIZED = (
    # predicted, true, both
    (0, 0, 0),  # no-target, nothing found: right
    (60, 0, 0),  # no-target, 60 pixels found
    (49, 0, 0),  # no-target, 49 pixels found
    (80, 80, 60),  # IoU 60 / 100
    (40, 40, 40),  # perfect, but small
    (0, 20, 0),  # overlooked
)


def generalized_samples():
    return [make_sample(i, *pixels(*p)) for i, p in enumerate(GENERALIZED)]


def test_generalized_scores_by_hand():
    metrics = evaluate(generalized_samples(), generalized=True)
    assert metrics == pytest.approx(
        {
            'mIoU': 100 * (1 + 0.6 + 1) / 6,
            'gIoU': 100 * (1 + 0.6 + 1) / 6,
            'oIoU': 100 * (60 + 40) / (60 + 49 + 100 + 40 + 20),
            'cIoU': 100 * (60 + 40) / (60 + 49 + 100 + 40 + 20),
            'N-acc': 100 / 3,
            'T-acc': 200 / 3,
            'P@0.5': 200 / 3,
            'P@0.6': 100 / 3,
            'P@0.7': 100 / 3,
            'P@0.8': 100 / 3,
            'P@0.9': 100 / 3,
        },
        rel=1e-15,
    )


def test_small_masks_count_as_empty():
    metrics = evaluate(generalized_samples(), generalized=True, min_pixels=50)
    expected = {
        'gIoU': 100 * (1 + 1 + 0.6) / 6,
        'cIoU': 100 * 60 / (60 + 100 + 40 + 20),
        'N-acc': 200 / 3,
        'T-acc': 100 / 3,
        'P@0.5': 100 / 3,
        'P@0.6': 0,
    }
    found = {name: metrics[name] for name in expected}
    assert found == pytest.approx(expected, rel=1e-15)


def test_the_limit_itself_is_not_small():
    sample = make_sample(0, *pixels(50, 0, 0))
    for limit, n_acc in ((50, 0), (51, 100)):
        metrics = evaluate([sample], generalized=True, min_pixels=limit)
        assert metrics['N-acc'] == n_acc


def generalized_by_loops(samples, min_pixels):
    """Follow the outline of GRES's own evaluation, in plain Python."""
    ious, total_i, total_u = [], 0, 0
    outcome = dict(TP=0, FN=0, TN=0, FP=0)
    above = []
    for sample in samples:
        prediction = sample.pred_sem_seg.data.flatten().tolist()
        truth = sample.gt_sem_seg.data.flatten().tolist()
        if sum(prediction) < min_pixels:
            prediction = [0] * len(prediction)
        both = sum(p and t for p, t in zip(prediction, truth, strict=True))
        either = sum(p or t for p, t in zip(prediction, truth, strict=True))
        if not any(truth):
            said_nothing = not any(prediction)
            outcome['TP' if said_nothing else 'FN'] += 1
            ious.append(float(said_nothing))
            total_u += 0 if said_nothing else either
        else:
            outcome['TN' if any(prediction) else 'FP'] += 1
            ious.append(both / either)
            total_i += both
            total_u += either
            above.append(ious[-1] > 0.7)
    return {
        'gIoU': 100 * sum(ious) / len(ious),
        'cIoU': 100 * total_i / total_u,
        'N-acc': 100 * outcome['TP'] / (outcome['TP'] + outcome['FN']),
        'T-acc': 100 * outcome['TN'] / (outcome['TN'] + outcome['FP']),
        'P@0.7': 100 * sum(above) / len(above),
    }


def generalized_random_samples(number, seed):
    """Return samples of which half are empty, of both masks."""
    rng = np.random.default_rng(seed)
    samples = []
    for idx in range(number):
        truth = (rng.random((6, 7)) < 0.5) & (rng.random() < 0.5)
        wrong = rng.random(truth.shape) < rng.choice([0, 0.05, 0.2])
        prediction = (truth ^ wrong) & (rng.random() < 0.8)
        samples.append(make_sample(idx, prediction, truth))
    return samples


@pytest.mark.parametrize('min_pixels', [0, 1, 3, 20])
@pytest.mark.parametrize('seed', range(3))
def test_generalized_scores_equal_plain_python(seed, min_pixels):
    samples = generalized_random_samples(40, seed)
    args = dict(generalized=True, min_pixels=min_pixels)
    metrics = evaluate(samples, **args)
    expected = generalized_by_loops(samples, min_pixels)
    found = {name: metrics[name] for name in expected}
    assert found == pytest.approx(expected, rel=1e-14)
    order = np.random.default_rng(seed).permutation(40)
    assert evaluate([samples[i] for i in order], batch=7, **args) == metrics


def test_a_share_of_nothing_is_not_a_number():
    something = make_sample(0, *pixels(5, 5, 5))
    nothing = make_sample(0, *pixels(0, 0, 0))
    metrics = evaluate([something], generalized=True)
    assert np.isnan(metrics['N-acc']) and metrics['T-acc'] == 100
    metrics = evaluate([nothing], generalized=True)
    assert np.isnan(metrics['T-acc']) and np.isnan(metrics['P@0.5'])
    assert metrics['N-acc'] == metrics['gIoU'] == metrics['cIoU'] == 100


def test_a_negative_limit_is_rejected():
    with pytest.raises(ValueError, match='min_pixels .*got -1'):
        ReferIoUMetric(min_pixels=-1)


@pytest.mark.parametrize('suffix', ['json', 'csv'])
def test_generalized_rows(tmp_path, suffix):
    path = tmp_path / f'rows.{suffix}'
    samples = [
        make_sample(0, *pixels(60, 0, 0), ann_id=[]),
        make_sample(1, *pixels(80, 80, 60), ann_id=[3, 4]),
    ]
    evaluate(samples, out_file=path, generalized=True)
    with open(path, encoding='utf-8', newline='') as file:
        rows = json.load(file) if suffix == 'json' else [*csv.DictReader(file)]
    expected = [
        dict(ann_id=[], no_target=True, predicted=60, union=60, iou=0.0),
        dict(ann_id=[3, 4], no_target=False, predicted=80, union=100, iou=0.6),
    ]
    for row, wanted in zip(rows, expected, strict=True):
        if suffix == 'csv':
            wanted = {key: str(value) for key, value in wanted.items()}
        assert {key: row[key] for key in wanted} == wanted
