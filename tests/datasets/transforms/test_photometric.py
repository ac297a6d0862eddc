import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms.utils import cache_random_params
from torchvision.transforms.v2 import functional as reference

from mmdit.datasets.transforms import ReferColorJitter, ReferGaussianBlur
from mmdit.datasets.transforms.photometric import (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
)
from mmdit.registry import TRANSFORMS

ADJUSTMENTS = {
    'brightness': (adjust_brightness, reference.adjust_brightness),
    'contrast': (adjust_contrast, reference.adjust_contrast),
    'saturation': (adjust_saturation, reference.adjust_saturation),
}


def photo(seed=0, size=(40, 60)):
    """Return a BGR image of smooth colors with noise, all levels used."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    ramp = np.stack([rows * 6, columns * 4, 255 - rows * 3], -1)
    noise = rng.integers(-60, 60, ramp.shape)
    return (ramp + noise).clip(0, 255).astype(np.uint8)


def by_torchvision(function, image, *args, **kwargs):
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    return function(rgb, *args, **kwargs).permute(1, 2, 0).numpy()[..., ::-1]


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).max()


@pytest.mark.parametrize('name', ADJUSTMENTS)
@pytest.mark.parametrize('factor', [0.0, 0.6, 0.83, 1.0, 1.27, 1.4])
def test_adjustments_equal_torchvisions(name, factor):
    ours, theirs = ADJUSTMENTS[name]
    image = photo()
    expected = by_torchvision(theirs, image, factor)
    assert difference(ours(image, factor), expected) <= 2


@pytest.mark.parametrize('name', ADJUSTMENTS)
def test_factor_one_changes_nothing(name):
    image = photo()
    np.testing.assert_array_equal(ADJUSTMENTS[name][0](image, 1.0), image)


@pytest.mark.parametrize('factor', [0.6, 1.27])
def test_contrast_keeps_the_exact_mean(factor):
    image = photo(size=(41, 67))
    mean = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).mean()
    levels = np.arange(256) * factor + (1 - factor) * mean
    expected = levels.round().clip(0, 255).astype(np.uint8)[image]
    np.testing.assert_array_equal(adjust_contrast(image, factor), expected)


def test_a_mirrored_view_is_adjusted_alike():
    image = photo()
    for ours, _ in ADJUSTMENTS.values():
        np.testing.assert_array_equal(
            ours(image[:, ::-1], 1.3), ours(image, 1.3)[:, ::-1]
        )


def test_order_and_factors_are_drawn():
    np.random.seed(0)
    jitter = TRANSFORMS.build(
        dict(
            type='mmdit.ReferColorJitter',
            brightness=0.1,
            contrast=0.2,
            saturation=1.5,
        )
    )
    draws = [draw for _ in range(500) if (draw := jitter._draw())]
    # a share of 0.8 of 500, give or take
    assert 370 < len(draws) < 430
    assert len({tuple(i for i, _ in draw) for draw in draws}) == 6
    factors = np.array([[dict(draw)[i] for i in range(3)] for draw in draws])
    np.testing.assert_allclose(factors.min(0), [0.9, 0.8, 0.0], atol=0.02)
    np.testing.assert_allclose(factors.max(0), [1.1, 1.2, 2.5], atol=0.02)


def test_the_drawn_adjustments_are_applied_in_their_order():
    np.random.seed(1)
    jitter, image = ReferColorJitter(prob=1), photo()
    with cache_random_params(jitter):
        results = jitter.transform(dict(img=image.copy()))
        expected = image
        for i, factor in jitter._cache['_draw']:
            theirs = list(ADJUSTMENTS.values())[i][1]
            expected = by_torchvision(theirs, expected, factor)
    assert len(jitter.ranges) == 3
    # each of the three steps rounds
    assert difference(results['img'], expected) <= 4
    assert difference(results['img'], image) > 4


def test_blur_equals_torchvisions():
    np.random.seed(2)
    for sigma in (0.1, 0.7, 2.0):
        blur, image = ReferGaussianBlur(prob=1, sigma=(sigma, sigma)), photo()
        size = 2 * int(np.ceil(3 * sigma)) + 1
        expected = by_torchvision(
            reference.gaussian_blur, image, [size, size], [sigma, sigma]
        )
        result = blur.transform(dict(img=image))['img']
        assert difference(result, expected) <= 2


def test_blur_smooths_half_of_the_images():
    np.random.seed(3)
    blur = TRANSFORMS.build(dict(type='mmdit.ReferGaussianBlur'))
    image = photo()
    draws = [blur._draw() for _ in range(400)]
    sigmas = [sigma for sigma in draws if sigma is not None]
    assert 160 < len(sigmas) < 240
    assert 0.1 <= min(sigmas) < 0.2
    assert 1.9 < max(sigmas) <= 2.0
    never = ReferGaussianBlur(prob=0).transform(dict(img=image))['img']
    np.testing.assert_array_equal(never, image)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: ReferColorJitter(prob=2), 'prob of ReferColorJitter'),
        (lambda: ReferColorJitter(contrast=-1), 'must not be negative'),
        (lambda: ReferGaussianBlur(prob=-1), 'prob of ReferGaussianBlur'),
        (lambda: ReferGaussianBlur(sigma=(0, 1)), 'sigma of ReferGaussianBl'),
        (lambda: ReferGaussianBlur(sigma=(2, 1)), 'sigma of ReferGaussianBl'),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
