"""Split a map of tokens into SAM's windows and put it back together.

Shapes: B batch, L text tokens, H x W image grid (N = H*W), R windows, S side
of a window, C channels. Text stands before the image in every sequence.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def split_windows(
    x: Tensor,
    grid: tuple[int, int],
    size: int,
    padding: Tensor | None = None,
) -> Tensor:
    """Cut (B, L + N, C) into (B * R, L + S*S, C).

    Args:
        x: (B, L + N, C). The text joins every window of its image.
        grid: H and W.
        size: S. Right and bottom are padded to a multiple of it; as in SAM
            the padding takes part in the attention.
        padding: (C,) token to pad with; zero without.
    """
    height, width = grid
    text, image = x.split([x.shape[1] - height * width, height * width], 1)
    image = image.unflatten(1, grid)
    right, bottom = -width % size, -height % size
    image = F.pad(image, (0, 0, 0, right, 0, bottom))
    if padding is not None and (right or bottom):
        inside = image.new_ones(grid, dtype=torch.bool)
        inside = F.pad(inside, (0, right, 0, bottom))
        image = torch.where(inside[..., None], image, padding.to(image.dtype))
    image = image.unflatten(2, (-1, size)).unflatten(1, (-1, size))
    # (B, H/S, S, W/S, S, C) -> (B, R, S*S, C)
    image = image.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    text = text[:, None].expand(-1, image.shape[1], -1, -1)
    return torch.cat([text, image], dim=2).flatten(0, 1)


def merge_windows(x: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """Undo :func:`split_windows`; the text is the mean over the windows."""
    height, width = grid
    rows, columns = -(-height // size), -(-width // size)
    x = x.unflatten(0, (-1, rows * columns))
    texts = x.shape[2] - size * size
    text, image = x.split([texts, size * size], dim=2)
    image = image.unflatten(2, (size, size)).unflatten(1, (rows, columns))
    # (B, rows, columns, S, S, C) -> (B, rows*S, columns*S, C)
    image = image.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    image = image[:, :height, :width].flatten(1, 2)
    return torch.cat([text.mean(dim=1), image], dim=1)
