"""Points, boxes and masks give what ``segment_anything`` makes of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Resize
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from PIL import Image
from segment_anything import SamPredictor

from mmdit.apis import ReferringSegInferencer
from mmdit.checkpoints.sources import to_mmdit
from mmdit.cli.segment import main as segment
from mmdit.registry import MODELS, TRANSFORMS
from mmdit.web.session import Session, add_point, choose, set_box

CONFIG = Path(__file__).parents[2] / 'configs/sam/sam_sam-vit-b_1024x1024.py'
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
    # The tables of a random model treat every point alike.
    sam.mask_decoder.mask_tokens.weight.data *= 10
    predictor = SamPredictor(sam)
    predictor.set_image(image, 'BGR')
    return predictor


@pytest.fixture
def sam_config(textless):
    """The shipped config of plain SAM, with the sizes of the small one."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.pop('init_cfg')
    assert cfg.model.text_encoder is None
    # Windows are the config's own choice.
    textless['backbone'].pop('attention')
    cfg.model.backbone.update(textless['backbone'])
    cfg.model.decode_head.update(textless['decode_head'])
    cfg.model.data_preprocessor.size = SIZE
    for step in cfg.test_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = SIZE
    return cfg


@pytest.fixture
def model(sam_config, sam, predictor):
    init_default_scope('mmdit')
    model = MODELS.build(sam_config.model).eval()
    assert model.decode_head.multimask_output
    model.decode_head.multimask_output = False
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
        item['data_samples'].mask_input = PixelData(data=mask)
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
    np.testing.assert_allclose(found.low_res_masks, logits, **close)
    np.testing.assert_allclose(found.scores, scores, **close)
    assert np.array_equal(found.masks, masks)
    best = sample.pred_sem_seg.data[0].numpy()
    assert np.array_equal(best, masks[scores.argmax()])
    assert masks.any() and not masks.all()


@pytest.mark.parametrize('multimask_output', [False, True])
@pytest.mark.parametrize('name', PROMPTS)
def test_prompts_give_sams_masks(
    name, multimask_output, model, predictor, image
):
    prompts = PROMPTS[name]
    expected = predictor.predict(**prompts, multimask_output=multimask_output)
    model.decode_head.multimask_output = multimask_output
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
        sample.pred_masks.low_res_masks, without.pred_masks.low_res_masks
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


@pytest.fixture
def inferencer(sam_config, sam, predictor, tmp_path):
    """An inferencer that reads SAM's own file."""
    torch.save(sam.state_dict(), tmp_path / 'sam.pth')
    return ReferringSegInferencer(
        sam_config, tmp_path / 'sam.pth', 'cpu', show_progress=False
    )


@pytest.mark.parametrize('multimask_output', [False, True])
def test_the_inferencer_answers_as_sam_does(
    inferencer, predictor, image, multimask_output
):
    inferencer.model.decode_head.multimask_output = multimask_output
    _, _, earlier = predictor.predict(**PROMPTS['box'], multimask_output=False)
    masks = [None, None, None, earlier]
    expected = [
        predictor.predict(
            **prompts, mask_input=mask, multimask_output=multimask_output
        )
        for prompts, mask in zip(PROMPTS.values(), masks, strict=True)
    ]
    queries = dict(
        expressions=[None] * 4,
        mask_input=masks,
        **{
            name: [prompts.get(name) for prompts in PROMPTS.values()]
            for name in ('point_coords', 'point_labels', 'box')
        },
    )
    predictions = inferencer(image, **queries)['predictions']
    for row, (masks, scores, logits) in zip(
        predictions, expected, strict=True
    ):
        best = scores.argmax()
        assert np.array_equal(row['mask'], masks[best])
        assert row['predicted_iou'] == pytest.approx(scores[best], abs=1e-5)
        np.testing.assert_allclose(
            row['low_res_masks'][0], logits[best], rtol=0, atol=1e-5
        )
    samples = inferencer(image, **queries, return_datasamples=True)
    for sample, one in zip(samples['predictions'], expected, strict=True):
        assert_equal(sample, one)


def same_masks(prediction, masks):
    """Compare all masks that a prediction has with the predictor's."""
    expected, scores, logits = masks
    close = dict(rtol=0, atol=1e-5)
    found = prediction.sample.pred_masks
    np.testing.assert_allclose(found.low_res_masks, logits, **close)
    np.testing.assert_allclose(prediction.scores, scores, **close)
    assert prediction.chosen == scores.argmax()
    mask = prediction.probabilities > 0.5
    assert np.array_equal(mask, expected[prediction.chosen])


def test_the_page_answers_as_sam_does(inferencer, predictor, image):
    session = Session('photo', image)
    session = add_point(session, None, (*POINTS[0], 1), inferencer)
    first = predictor.predict(POINTS[:1], np.array([1]))
    same_masks(session.predictions[0], first)
    for i in range(3):
        session = choose(session, 'Object 1', i, inferencer)
        mask = session.predictions[0].probabilities > 0.5
        assert np.array_equal(mask, first[0][i])
    # The mask that was chosen goes with the next prompt.
    session = set_box(session, 'Object 1', tuple(BOX), inferencer)
    second = predictor.predict(
        POINTS[:1], np.array([1]), box=BOX, mask_input=first[2][2:3]
    )
    same_masks(session.predictions[0], second)


def test_the_shell_answers_as_sam_does(
    sam_config, sam, predictor, image, tmp_path
):
    sam_config.dump(tmp_path / 'model.py')
    torch.save(sam.state_dict(), tmp_path / 'sam.pth')
    Image.fromarray(image[..., ::-1]).save(tmp_path / 'photo.png')
    points = [f'{x:g},{y:g}' for x, y in POINTS[:2]]
    args = [
        *(str(tmp_path / 'photo.png'), '--device', 'cpu'),
        *('--model', str(tmp_path / 'model.py')),
        *('--weights', str(tmp_path / 'sam.pth')),
        *('--point', points[0], '--point', f'{points[1]},0'),
        *('--box', ','.join(map(str, BOX)), '--out-dir', str(tmp_path)),
    ]
    assert segment(args) == 0
    (row,) = json.loads((tmp_path / 'predictions.json').read_text())
    mask = np.array(Image.open(tmp_path / row['mask']))
    masks, scores, _ = predictor.predict(POINTS[:2], np.array([1, 0]), BOX)
    assert np.array_equal(mask > 0, masks[scores.argmax()])
    assert row['predicted_iou'] == pytest.approx(scores.max(), abs=1e-5)
