"""NumPy's way from pixels to probabilities, beside torch's."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exported_models import RESIZE, build_model, make_config

from mmdit.datasets.pipeline import build_pipeline
from mmdit.export.folder import make_settings
from mmdit.runtime.arrays import prepare, resize_bilinear, restore


def make_pixels(height, width):
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize('size', [(40, 60), (61, 17), (32, 32), (9, 5)])
@pytest.mark.parametrize('keep_ratio', [True, False])
@pytest.mark.parametrize('pad_center', [True, False])
def test_images_enter_exactly_as_in_testing(
    tiny_segmentor, size, keep_ratio, pad_center
):
    tiny_segmentor['data_preprocessor'].update(
        pad_center=pad_center, bgr_to_rgb=keep_ratio
    )
    resize = dict(RESIZE, scale=(32, 24), keep_ratio=keep_ratio)
    config = make_config(tiny_segmentor, resize)
    model = build_model(tiny_segmentor)
    settings = make_settings(model, config)
    pixels = make_pixels(*size)
    pipeline = build_pipeline(config.test_dataloader.dataset)
    sizes = dict.fromkeys(('img_shape', 'ori_shape'), pixels.shape[:2])
    packed = pipeline(dict(img=pixels, img_path='a.png', **sizes))
    batch = model.data_preprocessor({k: [v] for k, v in packed.items()})
    prepared = prepare(pixels, settings)
    assert np.array_equal(prepared.image, batch['inputs'][0].numpy())
    (sample,) = batch['data_samples']
    logits = torch.randn(1, 16, 16)
    large = model.decode_head.predict(logits[None], (32, 32))[0].numpy()
    np.testing.assert_allclose(
        restore(large, prepared, settings.align_corners),
        model.restore(logits, sample).sigmoid().numpy(),
        atol=1e-6,
    )


def test_images_may_come_unnormalized_and_unresized(tiny_segmentor):
    tiny_segmentor['data_preprocessor'].update(mean=None, std=None)
    model = build_model(tiny_segmentor)
    settings = make_settings(model, make_config(tiny_segmentor))
    pixels = make_pixels(32, 32)
    found = prepare(pixels, settings).image
    assert np.array_equal(found, pixels[..., ::-1].transpose(2, 0, 1))
    with pytest.raises(ValueError, match='33 x 20 .* 32 x 32'):
        prepare(make_pixels(33, 20), settings)


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('size', [(50, 70), (9, 8), (1, 100), (16, 16)])
def test_resizing_is_that_of_torch(size, align_corners):
    values = torch.randn(2, 16, 13) * 10
    expected = F.interpolate(
        values[None], size, mode='bilinear', align_corners=align_corners
    )[0]
    found = resize_bilinear(values.numpy(), size, align_corners)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_large_logits_do_not_overflow():
    prepared = SimpleNamespace(place=(0, 0, 1, 2), original=(1, 2))
    with np.errstate(all='raise', under='ignore'):
        found = restore(np.float32([[[-200, 200]]]), prepared, False)
    assert found.tolist() == [[[0.0, 1.0]]]
