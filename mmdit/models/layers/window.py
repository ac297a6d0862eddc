"""Split a map of tokens into SAM's windows and put it back together."""

import torch.nn.functional as F
from torch import Tensor


def split_windows(x: Tensor, size: int) -> Tensor:
    """Cut (B, H, W, C) into (B * windows, size, size, C).

    Right and bottom are zero-padded to a multiple of ``size``; as in SAM the
    padding takes part in the attention.
    """
    height, width = x.shape[1:3]
    x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
    batch, height, width, channels = x.shape
    x = x.view(
        batch, height // size, size, width // size, size, channels
    ).transpose(2, 3)
    return x.reshape(-1, size, size, channels)


def merge_windows(windows: Tensor, grid: tuple[int, int]) -> Tensor:
    """Undo :func:`split_windows`; returns (B, H, W, C) of the given grid."""
    size, channels = windows.shape[1], windows.shape[-1]
    height, width = grid
    rows, columns = -(-height // size), -(-width // size)
    x = windows.view(-1, rows, columns, size, size, channels).transpose(2, 3)
    x = x.reshape(-1, rows * size, columns * size, channels)
    return x[:, :height, :width]
