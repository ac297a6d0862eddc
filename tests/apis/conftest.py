"""A small model and pictures that the tests of the inferencer ask about."""

import cv2
import numpy as np
import pytest
from small_models import make_config, save_weights


@pytest.fixture
def config(tiny_segmentor, tiny_refer):
    """The config of a small model."""
    return make_config(tiny_segmentor, tiny_refer)


@pytest.fixture
def weights(config, tmp_path):
    """A checkpoint of the small model."""
    return save_weights(config, tmp_path / 'weights.pth')


@pytest.fixture
def picture(tmp_path):
    """The path of a picture of 40 x 60 pixels (height x width)."""
    path = tmp_path / 'picture.png'
    pixels = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels.repeat(8, 0).repeat(10, 1))
    return str(path)
