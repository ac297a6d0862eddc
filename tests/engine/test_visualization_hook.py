from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer
from mmseg.structures import SegDataSample

from mmdit.registry import HOOKS, VISUALIZERS

BLUE = (200, 100, 30)  # BGR, as OpenCV writes it


@pytest.fixture
def samples(tmp_path):
    """Two expressions of one image."""
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.full((20, 30, 3), BLUE, np.uint8))
    mask = PixelData(data=torch.ones(1, 20, 30))
    result = []
    for sent_id in (3, 14):
        sample = SegDataSample(
            metainfo=dict(
                img_path=str(path), expression='all', sent_id=sent_id
            )
        )
        sample.gt_sem_seg = sample.pred_sem_seg = mask
        result.append(sample)
    return result


def build_hook(**kwargs):
    if not Visualizer.check_instance_created('test'):
        VISUALIZERS.build(dict(type='mmdit.ReferVisualizer', name='test'))
    hook = dict(type='mmdit.ReferVisualizationHook', **kwargs)
    return HOOKS.build(hook)


def test_every_expression_of_an_image_gets_a_file(samples, tmp_path):
    show_dir = tmp_path / 'shown'
    hook = build_hook(draw=True, show_dir=str(show_dir))
    hook.after_test_iter(None, 0, outputs=samples)
    names = sorted(p.name for p in show_dir.iterdir())
    assert names == ['image_sent14.png', 'image_sent3.png']
    picture = cv2.imread(str(show_dir / names[0]))
    assert picture.shape[1] > 3 * 256
    # The first panel shows the image in its own colors.
    assert tuple(picture[picture.shape[0] // 2, 100]) == BLUE


def test_nothing_is_drawn_unless_asked(samples, tmp_path):
    hook = build_hook(show_dir=str(tmp_path / 'shown'))
    hook.after_test_iter(None, 0, outputs=samples)
    hook.after_val_iter(None, 0, outputs=samples)
    assert not Path(tmp_path, 'shown').exists()
