"""Points, boxes and previous masks of a batch, from its data samples.

Shapes: B data samples, P points of the one that has most, H x W grid of the
image features.
"""

from collections.abc import Sequence

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from mmdit.datasets.transforms.sample_prompts import PADDING


def count_points(sample: SegDataSample) -> int:
    """Return the number of points of a data sample; a box counts as two."""
    return len(sample.prompts.labels) if 'prompts' in sample else 0


def stack_points(
    samples: Sequence[SegDataSample], inputs: Tensor, at_least: int = 0
) -> tuple[Tensor | None, Tensor | None]:
    """Join the points of a batch, padded to one number.

    Args:
        samples: B data samples, with ``prompts`` or without.
        inputs: (..., h, w) padded input, to which the points belong.
        at_least: The smallest P.

    Returns:
        Points (B, P, 2), 0 to 1 over the input, and labels (B, P), or None
        twice where P is 0.
    """
    number = max([at_least, *map(count_points, samples)])
    if not number:
        return None, None
    points = inputs.new_zeros(len(samples), number, 2)
    labels = torch.full(points.shape[:2], PADDING, device=inputs.device)
    for i, sample in enumerate(samples):
        if 'prompts' in sample:
            points[i, : count_points(sample)] = sample.prompts.points
            labels[i, : count_points(sample)] = sample.prompts.labels
    height, width = inputs.shape[-2:]
    # A pixel's center lies half a pixel after its index.
    return (points + 0.5) / points.new_tensor([width, height]), labels


def previous_masks(samples: Sequence[SegDataSample]) -> list[Tensor | None]:
    """Return each sample's ``mask_input``, (1, 4H, 4W) logits, or None."""
    return [
        sample.mask_input.data if 'mask_input' in sample else None
        for sample in samples
    ]
