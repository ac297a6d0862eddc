"""Several texts of one image, which is encoded once.

Shapes: B texts, M images, h x w padded input.
"""

import torch
from torch import Tensor


def find_distinct(images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Drop images that equal the one before.

    Args:
        images: (B, 3, h, w); the same ones follow each other.

    Returns:
        (M, 3, h, w) images, and each one's index among them (B,), or None
        where M is 1 or B.
    """
    if len(images) == 1:
        return images, None
    new = (images[1:] != images[:-1]).flatten(1).any(1)
    new = torch.cat([new.new_ones(1), new])
    distinct = images[new]
    if len(distinct) in (1, len(images)):
        return distinct, None
    return distinct, new.cumsum(0) - 1


def give_each(tensor: Tensor, number: int, owner: Tensor | None) -> Tensor:
    """Give each text what belongs to its image.

    Args:
        tensor: (M, ...), one entry per image.
        number: B.
        owner: (B,) index of each text's image. None: M is 1 or B.

    Returns:
        (B, ...).
    """
    if owner is not None:
        return tensor[owner]
    return tensor.expand(number, *tensor.shape[1:])
