"""Samples that the tests of the metric score."""

import numpy as np
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement, PixelData

from mmdit.evaluation import ReferIoUMetric


def make_sample(idx, prediction, truth, **meta):
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    sample = BaseDataElement(
        metainfo=dict(
            dict(
                sample_idx=idx,
                image_id=idx // 2,
                ref_id=10 + idx,
                ann_id=20 + idx,
                sent_id=30 + idx,
                expression=f'"thing", number {idx} é',
                img_path=f'{idx}.jpg',
                ori_shape=truth.shape,
            ),
            **meta,
        )
    )
    # MMSegmentation predicts floats
    prediction = torch.from_numpy(prediction.astype(np.float32))
    truth = torch.from_numpy(truth.astype(np.uint8))
    sample.pred_sem_seg = PixelData(data=prediction[None])
    sample.gt_sem_seg = PixelData(data=truth[None])
    return sample


def row_of_pixels(intersection, union):
    """Return prediction and truth (1, 20) of this intersection and union."""
    prediction, truth = np.zeros((2, 1, 20), int)
    prediction[0, :union] = 1
    truth[0, :intersection] = 1
    return prediction, truth


def random_samples(number, seed=0):
    """Return samples of different sizes, one of them empty on both sides."""
    rng = np.random.default_rng(seed)
    samples = []
    for idx in range(number):
        truth = rng.random(rng.integers(3, 9, 2)) < 0.5
        wrong = rng.random(truth.shape) < rng.random() * 0.6
        prediction = truth ^ wrong
        if idx == 1:
            truth[:] = prediction[:] = False
        samples.append(make_sample(idx, prediction, truth))
    return samples


def evaluate(samples, size=None, batch=2, **kwargs):
    evaluator = Evaluator(ReferIoUMetric(**kwargs))
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start : start + batch])
    return evaluator.evaluate(len(samples) if size is None else size)
