"""Pre-trained position tables, resized to the grid of the day.

Shapes: G pre-training grid side, H x W image grid, C width, d head width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_position(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize absolute positions (1, G, G, C) to (1, H, W, C), bicubic."""
    if table.shape[1:3] == grid:
        return table
    resized = F.interpolate(
        table.permute(0, 3, 1, 2),
        size=grid,
        mode='bicubic',
        align_corners=False,
    )
    return resized.permute(0, 2, 3, 1)


def relative_table(table: Tensor, size: int) -> Tensor:
    """Spread relative positions (2G-1, d) over all pairs of one axis.

    The table is first resized to 2*size-1 entries (linear), as SAM's
    ``get_rel_pos`` does for queries and keys of the same axis.

    Returns:
        (size, size, d); entry [i, j] belongs to query i and key j.
    """
    length = 2 * size - 1
    if table.shape[0] != length:
        table = F.interpolate(
            table.t()[None], size=length, mode='linear', align_corners=False
        )[0].t()
    index = torch.arange(size, device=table.device)
    return table[index[:, None] - index[None, :] + size - 1]
