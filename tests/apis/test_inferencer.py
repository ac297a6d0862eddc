"""Images and expressions in, masks out."""

import copy
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from pycocotools import mask as coco_mask
from small_models import save_weights

from mmdit.apis import ReferringSegInferencer
from mmdit.engine.loading import use_safe_loading
from mmdit.evaluation import ReferIoUMetric
from mmdit.registry import INFERENCERS

TWO = ['red circle', 'The big square']


@pytest.fixture
def inferencer(config, weights):
    return ReferringSegInferencer(config, weights, 'cpu')


def score(config, weights, tmp_path, monkeypatch, **loader):
    """Do what ``mmdit test`` does; return the data samples."""
    samples = []
    process = ReferIoUMetric.process

    def keep(self, data_batch, data_samples):
        samples.extend(copy.deepcopy(list(data_samples)))
        process(self, data_batch, data_samples)

    monkeypatch.setattr(ReferIoUMetric, 'process', keep)
    use_safe_loading()
    cfg = copy.deepcopy(config)
    cfg.test_dataloader.update(loader)
    cfg.update(load_from=weights, work_dir=str(tmp_path / 'work'))
    Runner.from_cfg(cfg).test()
    return samples


@pytest.mark.parametrize('first_block', [0, 2, None])
@pytest.mark.parametrize('batch_size', [2, 4])
def test_answers_equal_those_of_the_test_script(
    config, tmp_path, monkeypatch, first_block, batch_size
):
    injector = dict(type='mmdit.LayerwiseProjection', first_block=first_block)
    config.model.backbone.text_injector = (
        None if first_block is None else injector
    )
    weights = save_weights(config, tmp_path / 'weights.pth')
    expected = score(
        config, weights, tmp_path, monkeypatch, batch_size=batch_size
    )
    images, expressions = [], []
    for sample in expected:
        if not images or images[-1] != sample['img_path']:
            images.append(sample['img_path'])
            expressions.append([])
        expressions[-1].append(sample['expression'])
    assert max(map(len, expressions)) > batch_size
    inferencer = ReferringSegInferencer(config, weights, 'cpu')
    # The second time with what was kept of the images.
    predictions = [
        row
        for _ in range(2)
        for row in inferencer(
            images,
            expressions,
            batch_size=batch_size,
            return_probabilities=True,
        )['predictions']
    ]
    kept = inferencer.model.features.num_bytes
    assert (kept == 0) == (first_block == 0)
    assert len(predictions) == 2 * len(expected) > 12
    for got, sample in zip(predictions, [*expected, *expected], strict=True):
        assert got['expression'] == sample['expression']
        truth = sample['pred_sem_seg']['data'][0].numpy().astype(bool)
        assert np.array_equal(got['mask'], truth)
        probabilities = sample['seg_logits']['data'][0].numpy()
        assert np.array_equal(got['probabilities'], probabilities)
    assert 0 < np.mean([p['mask'].mean() for p in predictions]) < 1


def test_each_answer_agrees_with_its_probabilities(inferencer, picture):
    results = inferencer(picture, TWO, return_probabilities=True)
    assert results['visualization'] == []
    for expression, row in zip(TWO, results['predictions'], strict=True):
        assert (row['image'], row['expression']) == (picture, expression)
        mask, probabilities = row['mask'], row['probabilities']
        assert mask.shape == probabilities.shape == (40, 60)
        assert np.array_equal(mask, probabilities > np.float32(0.5))
        assert np.array_equal(coco_mask.decode(row['rle']).astype(bool), mask)
        assert 0.5 < row['score'] < 1
        assert row['score'] == pytest.approx(probabilities[mask].mean())
        left, top, right, bottom = row['box']
        outside = mask.copy()
        outside[top : bottom + 1, left : right + 1] = False
        assert not outside.any()
        for edge in (mask[top], mask[bottom], mask[:, left], mask[:, right]):
            assert edge.any()


def test_logits_are_those_of_the_probabilities(inferencer, picture):
    (row,) = inferencer(
        picture, TWO[0], return_logits=True, return_probabilities=True
    )['predictions']
    assert row['logits'].min() < 0 < row['logits'].max()
    assert np.array_equal(
        torch.from_numpy(row['logits']).sigmoid().numpy(),
        row['probabilities'],
    )


def test_the_threshold_decides_the_mask_alone(inferencer, picture):
    probabilities = inferencer.probabilities(picture, TWO)
    assert probabilities.shape == (2, 40, 60)
    threshold = float(np.quantile(probabilities[0], 0.8))
    results = inferencer(picture, TWO, threshold=threshold)
    samples = inferencer(
        picture, TWO, threshold=threshold, return_datasamples=True
    )['predictions']
    for given, row, sample in zip(
        probabilities, results['predictions'], samples, strict=True
    ):
        assert np.array_equal(row['mask'], given > threshold)
        assert np.array_equal(
            sample.pred_sem_seg.data[0].numpy().astype(bool), row['mask']
        )
        assert np.array_equal(sample.seg_logits.data[0].numpy(), given)


def test_nothing_found_is_an_answer(inferencer, picture):
    top = float(inferencer.probabilities(picture, TWO).max())
    for row in inferencer(picture, TWO, threshold=top)['predictions']:
        assert not row['mask'].any()
        assert row['box'] is None
        assert row['score'] == 0
        assert not coco_mask.decode(row['rle']).any()


@pytest.mark.parametrize(
    ('expressions', 'expected'),
    [
        ('a', ['0 a', '1 a']),
        (['a', 'b'], ['0 a', '0 b', '1 a', '1 b']),
        ([['a', 'b', 'c'], ['b']], ['0 a', '0 b', '0 c', '1 b']),
        ([[], ['b']], ['1 b']),
    ],
)
def test_answers_come_in_the_order_of_the_questions(
    inferencer, expressions, expected
):
    images = [np.zeros((8, 9, 3), np.uint8), np.zeros((5, 4), np.uint8)]
    rows = inferencer(images, expressions, batch_size=3)['predictions']
    assert [f'{r["image"]} {r["expression"]}' for r in rows] == expected
    for row in rows:
        assert row['mask'].shape == images[row['image']].shape[:2]


def test_batches_answer_as_single_questions_do(inferencer, picture):
    expressions = ['red circle', 'big square', 'left', 'blue', 'small circle']
    together = inferencer.probabilities(picture, expressions)
    assert np.ptp(together, axis=0).max() > 0.01
    for expression, expected in zip(expressions, together, strict=True):
        alone = inferencer.probabilities(picture, expression)[0]
        np.testing.assert_allclose(alone, expected, atol=1e-5)


def test_an_image_is_encoded_once_where_no_text_enters(config, tmp_path):
    config.model.backbone.text_injector = None
    weights = save_weights(config, tmp_path / 'weights.pth')
    inferencer = ReferringSegInferencer(config, weights, 'cpu')
    seen = []
    inferencer.model.backbone.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    image = np.zeros((8, 9, 3), np.uint8)
    inferencer(image, ['a', 'b', 'c'])
    assert seen == [1]


def test_a_folder_is_its_images_in_order(inferencer, tmp_path):
    for name in ('b.png', 'a.jpg'):
        cv2.imwrite(str(tmp_path / name), np.zeros((6, 8, 3), np.uint8))
    (tmp_path / 'notes.txt').write_text('not an image')
    rows = inferencer(tmp_path, 'red', batch_size=1)['predictions']
    names = [str(tmp_path / name) for name in ('a.jpg', 'b.png')]
    assert [row['image'] for row in rows][:2] == names


def test_every_answer_gets_files_of_its_own(inferencer, picture, tmp_path):
    out = tmp_path / 'out'
    twice = [picture, picture, np.zeros((6, 8, 3), np.uint8)]
    expressions = ['a/b: "c"?', 'A-b c', 'x' * 300]
    results = inferencer(
        twice, expressions, out_dir=out, return_vis=True, batch_size=2
    )
    rows = json.loads((out / 'predictions.json').read_text())
    assert len(rows) == len(results['predictions']) == 9
    for key in ('mask', 'overlay'):
        files = {row[key] for row in rows}
        assert len({name.lower() for name in files}) == 9
        folder = next(iter(files)).split('/')[0]
        written = {f'{folder}/{p.name}' for p in (out / folder).iterdir()}
        assert files == written
    for row, got, overlay in zip(
        rows, results['predictions'], results['visualization'], strict=True
    ):
        for key in ('image', 'expression', 'rle', 'box', 'score'):
            assert row[key] == got[key]
        mask = cv2.imread(str(out / row['mask']), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask, got['mask'] * np.uint8(255))
        drawn = cv2.imread(str(out / row['overlay']))
        assert drawn.shape == overlay.shape
        assert cv2.PSNR(drawn, overlay[..., ::-1].copy()) > 25


def test_what_was_answered_is_kept_when_an_image_fails(
    inferencer, picture, tmp_path
):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(b'no image')
    with pytest.raises(ValueError, match='broken.png is not an image'):
        inferencer(
            [picture, broken], 'red', batch_size=1, out_dir=tmp_path / 'out'
        )
    (row,) = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert row['image'] == picture


def test_what_fails_costs_its_image(inferencer, picture, tmp_path):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(b'no image')
    thin = np.zeros((1, 5000, 3), np.uint8)
    images = [picture, str(broken), thin, str(tmp_path / 'gone.png'), picture]
    rows = list(inferencer.iterate(images, TWO, return_vis=True))
    assert [row['image'] for row in rows] == [
        *(picture, picture, str(broken), 2, images[3]),
        *(picture, picture),
    ]
    reasons = [str(row['error']) for row in rows if 'error' in row]
    for reason, words in zip(
        reasons,
        ('is not an image', 'too thin; crop it', 'does not exist'),
        strict=True,
    ):
        assert words in reason
    expected = inferencer(picture, TWO, batch_size=2)['predictions']
    for got in (rows[:2], rows[-2:]):
        for row, other in zip(got, expected, strict=True):
            assert np.array_equal(row['mask'], other['mask'])
            assert row['overlay'].ndim == 3


def test_predictions_come_before_the_next_image_is_read(inferencer, picture):
    seen = []
    load = inferencer._load

    def watched(source, name, queries):
        seen.append(name)
        return load(source, name, queries)

    inferencer._load = watched
    rows = inferencer.iterate([picture] * 9, 'red', batch_size=1)
    assert seen == []
    next(rows)
    assert len(seen) == 2


def test_one_bad_item_does_not_cost_its_batch(inferencer, picture):
    step = inferencer.model.test_step

    def failing(data):
        if any(s.expression == 'bad' for s in data['data_samples']):
            raise RuntimeError('no such kernel')
        return step(data)

    inferencer.model.test_step = failing
    rows = list(inferencer.iterate(picture, ['a', 'bad', 'b'], 3))
    assert [row['expression'] for row in rows] == ['a', 'bad', 'b']
    assert ['error' in row for row in rows] == [False, True, False]


def test_mistakes_are_said_before_anything_is_read(inferencer):
    with pytest.raises(ValueError, match='threshold'):
        inferencer.iterate('x.png', 'red', threshold=2)
    with pytest.raises(ValueError, match='half a letter'):
        inferencer.iterate('x.png', 'caf\udce9')


def test_weights_that_are_no_numbers_are_an_error(inferencer, picture):
    for parameter in inferencer.model.decode_head.parameters():
        parameter.data.fill_(float('nan'))
    with pytest.raises(ValueError, match=f'{picture}: .*NaN.*damaged'):
        inferencer(picture, 'red')


def test_a_fingerprint_follows_weights_and_config(config, weights):
    def build():
        return ReferringSegInferencer(config, weights, 'cpu')

    first = build()
    assert first.fingerprint() == build().fingerprint()
    parameter = next(first.model.parameters())
    parameter.data.view(-1)[0] += 1e-6
    assert first.fingerprint() != build().fingerprint()
    expected = build().fingerprint()
    config.model.decode_head.align_corners = True
    assert build().fingerprint() != expected


@pytest.mark.parametrize(
    ('arguments', 'options', 'message'),
    [
        (([], 'red'), {}, 'no images'),
        (('x.png', []), {}, 'no expressions'),
        (('x.png', ' '), {}, "expression is ' '"),
        (('x.png', [['a'], ['b']]), {}, '2 lists of expressions for 1'),
        (('x.png', 'red'), dict(batch_size=0), 'batch_size'),
        (('x.png', 'red'), dict(threshold=1.5), 'threshold'),
        (('x.png', 'red'), {}, 'x.png does not exist'),
    ],
)
def test_bad_questions_are_explained(inferencer, arguments, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        inferencer(*arguments, **options)


def test_memory_that_does_not_suffice_halves_the_batch(inferencer, picture):
    sizes = []
    step = inferencer.model.test_step

    def limited(data):
        sizes.append(len(data['inputs']))
        if sizes[-1] > 2:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory.')
        return step(data)

    expressions = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
    expected = inferencer.probabilities(picture, expressions, batch_size=2)
    inferencer.model.test_step = limited
    got = inferencer.probabilities(picture, expressions, batch_size=7)
    assert sizes == [7, 4, 2, 2, 2, 1]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_registry_knows_it(config, weights):
    built = INFERENCERS.build(
        dict(
            type='mmdit.ReferringSegInferencer', model=config, weights=weights
        )
    )
    assert isinstance(built, ReferringSegInferencer)
