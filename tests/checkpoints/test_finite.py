"""Weights and predictions that are not numbers are errors, not "nothing"."""

import math

import numpy as np
import pytest
import torch
from small_models import make_config, save_weights

from mmdit.apis import ReferringSegInferencer, make_prediction
from mmdit.evaluation import ReferIoUMetric
from mmdit.models.pretrained import SAMPretrained
from mmdit.registry import MODELS

KEY = 'decode_head.text_proj.weight'


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('key', [KEY, 'backbone.pos_embed'])
def test_weights_are_checked_wherever_they_are_loaded(
    tiny_segmentor, tiny_refer, tmp_path, value, key
):
    config = make_config(tiny_segmentor, tiny_refer)
    path = save_weights(config, tmp_path / 'bad.pth')
    content = torch.load(path)
    content['state_dict'][key].view(-1)[3] = value
    torch.save(content, path)
    model = MODELS.build(config.model)
    for load in (
        lambda: ReferringSegInferencer(config, path, 'cpu'),
        lambda: SAMPretrained(path)(model),
        lambda: model.load_state_dict(content['state_dict']),
    ):
        with pytest.raises(ValueError, match=rf'{key} .*NaN or inf.*1 of'):
            load()


def test_predictions_are_checked(tiny_segmentor, tiny_refer):
    probabilities = np.full((4, 5), 0.7, np.float32)
    probabilities[2, 3] = math.nan
    with pytest.raises(ValueError, match=r'a\.png: .*not numbers'):
        make_prediction('a.png', 'red', probabilities, 0.5)
    sample = dict(
        sample_idx=0,
        image_id=1,
        ref_id=1,
        ann_id=1,
        sent_id=1,
        expression='red',
        img_path='a.png',
        ori_shape=(4, 5),
        pred_sem_seg=dict(data=torch.zeros(1, 4, 5)),
        gt_sem_seg=dict(data=torch.ones(1, 4, 5)),
        seg_logits=dict(data=torch.from_numpy(probabilities)[None]),
    )
    with pytest.raises(ValueError, match=r"'red' on a\.png .* at 1 pixels"):
        ReferIoUMetric().process(None, [sample])
