"""A small model and images for the tests of the inferencer."""

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
