"""Points, boxes and masks give what ``segment_anything`` makes of them."""

import numpy as np
import pytest
import torch
from mmcv.transforms import Resize
from mmengine.structures import PixelData
from segment_anything import SamPredictor

from mmdit.checkpoints.sources import to_mmdit
from mmdit.registry import MODELS, TRANSFORMS

SIZE = (256, 256)
POINTS = np.array([[30.0, 41.0], [100.0, 20.0], [75.0, 80.0]])
BOX = np.array([20.0, 15.0, 95.0, 70.0])
PROMPTS = {
    'one point': dict(point_coords=POINTS[:1], point_labels=np.array([1])),
    'points': dict(point_coords=POINTS, point_labels=np.array([1, 0, 1])),
    'box': dict(box=BOX),
    'box and points': dict(
        box=BOX, point_coords=POINTS[:2], point_labels=np.array([0, 1])
    ),
}


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8)


@pytest.fixture
def predictor(sam, image):
    # The tables of a random model answer every point alike.
    sam.mask_decoder.mask_tokens.weight.data *= 10
    predictor = SamPredictor(sam)
    predictor.set_image(image, 'BGR')
    return predictor


@pytest.fixture
def model(textless, sam, predictor):
    """The segmentor of configs/sam/sam_*, with the same weights."""
    textless['data_preprocessor'] = dict(
        type='mmdit.ReferDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        size=SIZE,
        centred=False,
    )
    textless['decode_head']['threshold'] = 0.5
    model = MODELS.build(textless).eval()
    model.load_state_dict(to_mmdit(sam.state_dict())[1].state_dict)
    return model


def pack(image, point_coords=None, point_labels=None, box=None, mask=None):
    """Put an image and its prompts through the pipeline of the config."""
    height, width = image.shape[:2]
    results = dict(img=image.copy(), img_shape=image.shape[:2])
    results = Resize(SIZE, keep_ratio=True, backend='pillow')(results)
    points, labels = np.zeros((0, 2)), np.zeros(0, np.int64)
    if point_coords is not None:
        points, labels = point_coords, point_labels
    if box is None:
        points = np.concatenate([points, np.zeros((1, 2))])
        labels = np.append(labels, -1)
    else:
        points = np.concatenate([points, box.reshape(2, 2)])
        labels = np.append(labels, [2, 3])
    if point_coords is not None or box is not None:
        scale = np.divide(results['img'].shape[1::-1], (width, height))
        results['prompt_points'] = (points * scale).astype(np.float32)
        results['prompt_labels'] = labels
    results.update(ori_shape=(height, width))
    keys = ('img_shape', 'ori_shape')
    packing = dict(type='mmdit.PackReferSegInputs', meta_keys=keys)
    item = TRANSFORMS.build(packing)(results)
    if mask is not None:
        item['data_samples'].prompt_mask = PixelData(data=mask)
    return item


def predict(model, items):
    inputs = [item['inputs'] for item in items]
    samples = [item['data_samples'] for item in items]
    with torch.no_grad():
        return model.test_step(dict(inputs=inputs, data_samples=samples))


def assert_equal(sample, expected):
    """Compare with masks, IoU predictions and logits of the predictor."""
    masks, scores, logits = expected
    found = sample.pred_masks
    close = dict(rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.low_res_logits, logits, **close)
    np.testing.assert_allclose(found.scores, scores, **close)
    assert np.array_equal(found.masks, masks)
    best = sample.pred_sem_seg.data[0].numpy()
    assert np.array_equal(best, masks[scores.argmax()])
    assert masks.any() and not masks.all()


@pytest.mark.parametrize('multimask', [False, True])
@pytest.mark.parametrize('name', PROMPTS)
def test_prompts_give_sams_masks(name, multimask, model, predictor, image):
    prompts = PROMPTS[name]
    expected = predictor.predict(**prompts, multimask_output=multimask)
    model.decode_head.multimask = multimask
    (sample,) = predict(model, [pack(image, **prompts)])
    assert_equal(sample, expected)


@pytest.mark.parametrize('name', [*PROMPTS, 'the mask alone'])
def test_a_previous_mask_may_be_given(name, model, predictor, image):
    prompts = PROMPTS.get(name, {})
    _, _, logits = predictor.predict(**PROMPTS['box'], multimask_output=False)
    expected = predictor.predict(
        **prompts, mask_input=logits, multimask_output=False
    )
    mask = torch.from_numpy(logits)
    (sample,) = predict(model, [pack(image, **prompts, mask=mask)])
    assert_equal(sample, expected)
    without = predict(model, [pack(image, **PROMPTS['points'])])[0]
    assert not np.allclose(
        sample.pred_masks.low_res_logits, without.pred_masks.low_res_logits
    )


def test_a_batch_of_unlike_prompts_changes_none(model, predictor, image):
    _, _, logits = predictor.predict(**PROMPTS['box'], multimask_output=False)
    items, expected = [], []
    for i, prompts in enumerate(PROMPTS.values()):
        given = dict(mask=torch.from_numpy(logits)) if i == 1 else {}
        items.append(pack(image, **prompts, **given))
        given = dict(mask_input=logits) if i == 1 else {}
        expected.append(
            predictor.predict(**prompts, **given, multimask_output=False)
        )
    for sample, one in zip(predict(model, items), expected, strict=True):
        assert_equal(sample, one)
