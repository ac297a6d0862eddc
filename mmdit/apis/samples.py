"""Queries as data samples of the model, and its predictions as NumPy."""

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from mmdit.datasets.transforms.sample_prompts import (
    BOTTOM_RIGHT,
    PADDING,
    TOP_LEFT,
)
from mmdit.runtime.prompts import Prompts
from mmdit.runtime.streaming import Item


def pack(item: Item) -> dict:
    """Return what a data set would give the model for a query."""
    prepared = item.image.prepared
    sample = prepared['data_samples'].clone()
    expression = item.expression
    if expression is not None:
        # As the data sets spell it.
        expression = expression.strip().lower()
    sample.set_metainfo(dict(expression=expression))
    add_prompts(sample, item.prompts)
    return dict(inputs=prepared['inputs'], data_samples=sample)


def add_prompts(sample: SegDataSample, prompts: Prompts) -> None:
    """Give a data sample what the model reads, in pixels of its input.

    Args:
        sample: With ``ori_shape`` and ``img_shape``, the size to which the
            pipeline brought the image.
        prompts: Points, a box and a mask.
    """
    if prompts.mask_input is not None:
        data = torch.as_tensor(prompts.mask_input, dtype=torch.float32)
        sample.mask_input = PixelData(data=data)
    if prompts.point_coords is None and prompts.box is None:
        return
    points, labels = prompts.point_coords, prompts.point_labels
    if points is None or labels is None:
        points, labels = np.zeros((0, 2)), np.zeros(0)
    if prompts.box is None:
        # As in SAM, points without a box end with padding.
        points = np.concatenate([points, [[0, 0]]])
        labels = np.append(labels, PADDING)
    else:
        points = np.concatenate([points, prompts.box.reshape(2, 2)])
        labels = np.append(labels, [TOP_LEFT, BOTTOM_RIGHT])
    # SAM's way: a pixel's index is scaled, not its center.
    scale = np.divide(sample.img_shape[1::-1], sample.ori_shape[1::-1])
    sample.prompts = InstanceData(
        points=torch.from_numpy((points * scale).astype(np.float32)),
        labels=torch.from_numpy(labels.astype(np.int64)),
    )


def describe(sample: SegDataSample, threshold: float) -> dict:
    """Describe a data sample, and let its mask follow the threshold."""
    probabilities = sample.seg_logits.data
    sample.pred_sem_seg.data = (probabilities > threshold).to(probabilities)
    masks = sample.pred_masks
    best = masks.scores.argmax()
    prediction = dict(
        probabilities=probabilities[0].numpy(),
        predicted_iou=float(masks.scores[best]),
        low_res_masks=masks.low_res_masks[best][None].numpy(),
    )
    if 'raw_logits' in sample:
        prediction['logits'] = sample.raw_logits.data[0].numpy()
    return prediction
