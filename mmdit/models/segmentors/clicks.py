"""Simulated refinement clicks, for training.

Shapes: B images, h x w padded input.
"""

import torch
from torch import Tensor

from mmdit.datasets.transforms.sample_prompts import PADDING


def simulate_click(predicted: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
    """Sample one pixel of each image uniformly from the error region.

    SAM's training does so (Kirillov et al., Segment Anything, 2023, App. A).
    Without an error, the pixel is one of the ground truth, and padding where
    that is empty.

    Args:
        predicted: (B, h, w) bool.
        gt: (B, h, w) bool.

    Returns:
        Points (B, 1, 2), x and y from 0 to 1, and SAM's labels (B, 1).
    """
    height, width = gt.shape[-2:]
    wrong, gt = (predicted != gt).flatten(1), gt.flatten(1)
    pool = torch.where(wrong.any(1, keepdim=True), wrong, gt)
    empty = ~pool.any(1, keepdim=True)
    index = torch.multinomial((pool | empty).float(), 1)
    labels = gt.gather(1, index).long().masked_fill(empty, PADDING)
    # The middle of the pixel.
    x = (index % width + 0.5) / width
    y = (index // width + 0.5) / height
    return torch.stack([x, y], dim=-1), labels
