"""Scores of referring segmentation."""

from .refer_iou_metric import ReferIoUMetric

__all__ = ['ReferIoUMetric']
