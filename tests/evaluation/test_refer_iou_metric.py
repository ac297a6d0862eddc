import csv
import itertools
import json
import os
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
import torch.distributed as dist
from forked import run_ranks
from metric_samples import evaluate, make_sample, random_samples, row_of_pixels
from mmengine.dataset import DefaultSampler

from mmdit.evaluation import ReferIoUMetric, row_files
from mmdit.registry import METRICS


def pixel_by_pixel(samples):
    """Score in plain Python."""
    ious, intersections, unions = [], 0, 0
    for sample in samples:
        prediction = sample.pred_sem_seg.data.flatten().tolist()
        truth = sample.gt_sem_seg.data.flatten().tolist()
        both = sum(1 for p, t in zip(prediction, truth, strict=True) if p * t)
        either = sum(
            1 for p, t in zip(prediction, truth, strict=True) if p + t
        )
        ious.append(both / either if either else 1)
        intersections += both
        unions += either
    scores = dict(
        mIoU=100 * sum(ious) / len(ious), oIoU=100 * intersections / unions
    )
    for x in (0.5, 0.6, 0.7, 0.8, 0.9):
        scores[f'P@{x}'] = 100 * sum(iou > x for iou in ious) / len(ious)
    return scores


def test_three_expressions_by_hand():
    pairs = [row_of_pixels(*pair) for pair in ((1, 2), (6, 8), (19, 20))]
    metrics = evaluate([make_sample(i, *p) for i, p in enumerate(pairs)])
    third = 100 / 3
    assert metrics == pytest.approx(
        {
            'mIoU': (50 + 75 + 95) / 3,
            'oIoU': 100 * 26 / 30,
            'P@0.5': 2 * third,
            'P@0.6': 2 * third,
            'P@0.7': 2 * third,
            'P@0.8': third,
            'P@0.9': third,
        },
        rel=1e-15,
    )


@pytest.mark.parametrize('tenths', [5, 6, 7, 8, 9])
@pytest.mark.parametrize('union', [10, 20])
def test_thresholds_are_strict(tenths, union):
    at = union * tenths // 10
    sample = [make_sample(0, *row_of_pixels(at, union))]
    above = [make_sample(0, *row_of_pixels(at + 1, union))]
    assert evaluate(sample)[f'P@0.{tenths}'] == 0
    assert evaluate(above)[f'P@0.{tenths}'] == 100


def test_random_masks_equal_plain_python():
    samples = random_samples(25)
    assert evaluate(samples) == pytest.approx(
        pixel_by_pixel(samples), rel=1e-14
    )


def test_empty_answers_to_empty_truths_are_right():
    empty, full = np.zeros((3, 4)), np.ones((3, 4))
    right = evaluate([make_sample(0, empty, empty)])
    assert set(right.values()) == {100}
    for pair in ((empty, full), (full, empty)):
        assert set(evaluate([make_sample(0, *pair)]).values()) == {0}


def test_order_and_batches_do_not_matter():
    samples = random_samples(31)
    expected = evaluate(samples)
    for seed, batch in itertools.product(range(3), (1, 4)):
        order = np.random.default_rng(seed).permutation(31)
        assert evaluate([samples[i] for i in order], batch=batch) == expected


def test_repeated_items_count_once():
    samples = random_samples(5)
    assert evaluate(samples + samples[:3], size=5) == evaluate(samples)


def test_missing_items_are_named():
    samples = random_samples(5)
    message = r'each of 5 items, got 3 .* 2 are missing, sample_idx \[1, 3\]'
    with pytest.raises(RuntimeError, match=message):
        evaluate(samples[::2], size=5)


def test_no_items_at_all():
    with pytest.raises(RuntimeError, match='got 0 distinct'):
        evaluate([], size=0)


def test_each_evaluation_starts_afresh():
    metric = ReferIoUMetric()
    for samples in (random_samples(3), random_samples(5, seed=1)):
        metric.process(None, [sample.to_dict() for sample in samples])
        assert metric.evaluate(len(samples)) == evaluate(samples)


def test_what_an_interrupted_evaluation_left_does_not_count():
    metric, samples = ReferIoUMetric(), random_samples(5)
    others = [make_sample(i, [[1]], [[0]]) for i in range(3)]
    metric.process(None, [sample.to_dict() for sample in others])
    metric.process(None, [sample.to_dict() for sample in samples])
    assert metric.evaluate(5) == evaluate(samples)


def test_a_full_disk_is_told_when_rows_are_written(monkeypatch):
    metric = ReferIoUMetric()
    samples = [sample.to_dict() for sample in random_samples(3)]
    with monkeypatch.context() as patch:
        patch.setattr(
            row_files.RowFile,
            '_new_file',
            lambda _: os.fdopen(os.open('/dev/full', os.O_RDWR), 'r+b'),
        )
        for score in (metric.process, lambda *_: metric.evaluate(3)):
            with pytest.raises(OSError, match='No space left'):
                score(None, samples)
    metric.process(None, samples)
    assert metric.evaluate(3) == evaluate(random_samples(3))


def test_without_a_place_for_rows_no_process_is_left_waiting(monkeypatch):
    metric, travelled = ReferIoUMetric(), []
    metric.process(None, [random_samples(1)[0].to_dict()])

    def collect(part, size, *_):
        travelled.extend(part * size)
        return part * size

    def fail(_):
        raise OSError('Too many open files')

    monkeypatch.setattr(row_files, 'get_world_size', lambda: 2)
    monkeypatch.setattr(row_files, 'collect_results', collect)
    monkeypatch.setattr(row_files.RowFile, '_new_file', fail)
    with pytest.raises(OSError, match='Too many open files'):
        metric.evaluate(1)
    assert len(travelled) == 2


@pytest.mark.parametrize('place', ['pred_sem_seg', 'gt_sem_seg', 'ori_shape'])
def test_masks_of_another_size_name_the_pipeline(place):
    small, large = np.ones((3, 4)), np.ones((6, 8))
    sample = make_sample(
        7,
        large if place == 'pred_sem_seg' else small,
        large if place == 'gt_sem_seg' else small,
        ori_shape=(6, 8) if place == 'ori_shape' else (3, 4),
    )
    message = 'sample_idx 7 .*LoadReferMask must come after Resize'
    with pytest.raises(ValueError, match=message):
        evaluate([sample])


@pytest.mark.parametrize('value', [0.4, 255])
def test_values_other_than_0_and_1_are_rejected(value):
    sample = make_sample(0, [[0, value]], [[0, 1]])
    with pytest.raises(ValueError, match='hold 1 values other than 0 and 1'):
        evaluate([sample])


def test_missing_metainfo_is_named():
    sample = make_sample(0, [[1]], [[1]])
    del sample.sent_id
    with pytest.raises(KeyError, match='no sent_id .*PackReferSegInputs'):
        evaluate([sample])


def test_thresholds_and_prefix_can_be_chosen():
    metric = METRICS.build(
        dict(type='mmdit.ReferIoUMetric', thresholds=[0.35], prefix='val')
    )
    metric.process(None, [make_sample(0, *row_of_pixels(2, 5)).to_dict()])
    assert metric.evaluate(1) == {
        'val/mIoU': 40,
        'val/oIoU': 40,
        'val/P@0.35': 100,
    }


@pytest.mark.parametrize('world_size', [1, 3])
def test_rows_are_not_in_memory(monkeypatch, tmp_path, world_size):
    """Their number is of no matter but for where each begins."""
    if world_size > 1:
        # Every process has the same rows; chunks end anywhere.
        monkeypatch.setattr(row_files, '_CHUNK', 1000)
        monkeypatch.setattr(row_files, 'get_world_size', lambda: world_size)
        monkeypatch.setattr(
            row_files, 'collect_results', lambda part, size, *_: part * size
        )
    sample = make_sample(0, *row_of_pixels(3, 4)).to_dict()
    metric = ReferIoUMetric(out_file=tmp_path / 'rows.json')

    def peak(number):
        tracemalloc.start()
        for idx in range(number):
            metric.process(None, [dict(sample, sample_idx=idx)])
        assert metric.evaluate(number)['mIoU'] == 75
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    assert peak(2000) < peak(200) + 2000 * 50


def test_the_file_is_what_json_writes(tmp_path):
    path = tmp_path / 'rows.json'
    ids = [dict(ann_id=[]), dict(ann_id=[3, 4]), dict(ref_id='a\n"b')]
    samples = [
        make_sample(i, *row_of_pixels(1, 3), **meta)
        for i, meta in enumerate(ids)
    ]
    evaluate(samples, out_file=path)
    text = path.read_text(encoding='utf-8')
    rows = json.loads(text)
    assert text == json.dumps(rows, ensure_ascii=False, indent=1)
    assert [row['iou'] for row in rows] == [1 / 3] * 3
    assert rows[2]['ref_id'] == 'a\n"b'


def test_scores_do_not_depend_on_the_file(tmp_path):
    samples = random_samples(9)
    for path in (tmp_path / 'rows.json', tmp_path / 'rows.csv'):
        assert evaluate(samples, out_file=path) == evaluate(samples)


@pytest.mark.parametrize('suffix', ['json', 'csv'])
def test_one_row_per_expression_is_written(tmp_path, suffix):
    path = tmp_path / 'new' / f'rows.{suffix}'
    samples = [
        make_sample(1, *row_of_pixels(3, 4)),
        make_sample(0, *row_of_pixels(1, 2)),
    ]
    # the second run replaces the first
    for _ in range(2):
        evaluate(samples, out_file=path)
    with open(path, encoding='utf-8', newline='') as file:
        rows = json.load(file) if suffix == 'json' else [*csv.DictReader(file)]
    expected = dict(
        sample_idx=1,
        image_id=0,
        ref_id=11,
        ann_id=21,
        sent_id=31,
        expression='"thing", number 1 é',
        img_path='1.jpg',
        height=1,
        width=20,
        ground_truth=3,
        predicted=4,
        intersection=3,
        union=4,
        iou=0.75,
    )
    if suffix == 'csv':
        expected = {key: str(value) for key, value in expected.items()}
    assert len(rows) == 2
    assert rows[1] == expected
    assert list(rows[1]) == list(expected)
    assert os.listdir(path.parent) == [path.name]


def test_data_sets_may_say_more_than_others(tmp_path):
    path = tmp_path / 'rows.csv'
    more = dict(dataset='own', split='val')
    pair = row_of_pixels(1, 2)
    evaluate(
        [make_sample(0, *pair), make_sample(1, *pair, **more)], out_file=path
    )
    with open(path, newline='') as file:
        found = [
            (row['dataset'], row['split']) for row in csv.DictReader(file)
        ]
    assert found == [('', ''), ('own', 'val')]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / 'rows.json'
    path.write_text('old')
    # a set cannot be written as JSON
    sample = make_sample(0, [[1]], [[1]], ann_id={1})
    with pytest.raises(TypeError):
        evaluate([sample], out_file=path)
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['rows.json']


def test_a_failed_write_costs_no_scores(tmp_path):
    # A name of 255 bytes leaves none for that of the part.
    path = tmp_path / f'{"x" * 250}.json'
    with pytest.raises(OSError, match="x.json cannot .* are {'mIoU': 75.0"):
        evaluate([make_sample(0, *row_of_pixels(3, 4))], out_file=path)


def test_another_file_type_is_rejected():
    with pytest.raises(ValueError, match=r'\.json or \.csv, got rows.pkl'):
        ReferIoUMetric(out_file='rows.pkl')


def evaluate_share(world_size, folder):
    """Evaluate this rank's share in several ways; write what came out."""
    rank = int(os.environ['RANK'])
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=world_size,
    )
    outcomes = {}
    ways = itertools.product((7, 2), (True, False), ('cpu', 'gpu'))
    for number, (size, round_up, device) in enumerate(ways):
        samples = random_samples(size)
        indices = list(DefaultSampler(samples, False, 0, round_up))
        metric = ReferIoUMetric(
            out_file=f'{folder}/rows{number}.json',
            collect_device=device,
            collect_dir=f'{folder}/parts{number}' if device == 'cpu' else None,
            generalized=True,
        )
        for idx in indices:
            metric.process(None, [samples[idx].to_dict()])
        outcomes[number] = (size, metric.evaluate(size))
        if rank:
            metric.process(None, [samples[0].to_dict()])
        try:
            metric.evaluate(size)
        except RuntimeError as error:
            outcomes[number] += (str(error),)
    torch.save(outcomes, f'{folder}/rank{rank}.pt')
    dist.barrier()
    dist.destroy_process_group()


def test_several_processes_give_the_numbers_of_one(tmp_path):
    world_size = 3
    run_ranks(
        partial(evaluate_share, world_size, tmp_path),
        tmp_path,
        [dict(RANK=str(rank)) for rank in range(world_size)],
    )
    expected = {
        size: evaluate(random_samples(size), generalized=True)
        for size in (7, 2)
    }
    for rank in range(world_size):
        outcomes = torch.load(tmp_path / f'rank{rank}.pt', weights_only=True)
        assert len(outcomes) == 8
        for size, metrics, error in outcomes.values():
            assert metrics == expected[size]
            assert f'each of {size} items, got 1' in error
    rows = json.loads((tmp_path / 'rows2.json').read_text())
    assert [row['sample_idx'] for row in rows] == list(range(7))
