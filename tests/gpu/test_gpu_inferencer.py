"""Predictions on a GPU are those on a CPU."""

import numpy as np
import pytest
import torch
from small_models import make_config, save_weights

from mmdit.apis import ReferringSegInferencer

pytestmark = pytest.mark.gpu


def test_predictions_equal_those_of_a_cpu(
    device, tiny_segmentor, tiny_refer, tmp_path, picture
):
    config = make_config(tiny_segmentor, tiny_refer)
    weights = save_weights(config, tmp_path / 'weights.pth')
    said = ['red circle', 'the big square']
    found, expected = (
        ReferringSegInferencer(config, weights, name)(
            picture, said, return_probabilities=True
        )['predictions']
        for name in (str(device), 'cpu')
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            one['probabilities'], other['probabilities'], rtol=0, atol=1e-3
        )
        sure = np.abs(other['probabilities'] - 0.5) > 1e-3
        assert np.array_equal(one['mask'][sure], other['mask'][sure])


def test_auto_takes_the_gpu(device, tiny_segmentor, tiny_refer, tmp_path):
    config = make_config(tiny_segmentor, tiny_refer)
    weights = save_weights(config, tmp_path / 'weights.pth')
    model = ReferringSegInferencer(config, weights).model
    used = {p.device.type for p in model.parameters()}
    assert used == {'cuda' if torch.cuda.is_available() else device.type}
