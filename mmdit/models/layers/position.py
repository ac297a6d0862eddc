"""Pre-trained position tables, resized to the grid of the day.

Shapes: G pre-training grid side, H x W image grid, C width, d head width.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sine_cosine_table(size: int, channels: int) -> Tensor:
    """Return absolute positions (1, size, size, C) of sines and cosines.

    Half of the channels tell the row, half the column. MAE, from which SAM's
    encoder was trained, starts from them; a checkpoint replaces them.
    """
    if channels % 4:
        raise ValueError(
            f'positions need a width that is a multiple of 4, got {channels}; '
            'change embed_dims of arch'
        )
    rates = 10000 ** -(torch.arange(channels // 4) / (channels // 4))
    angles = torch.arange(size)[:, None] * rates
    codes = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows = codes[:, None].expand(-1, size, -1)
    columns = codes[None].expand(size, -1, -1)
    return torch.cat([rows, columns], dim=2)[None]


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


def _resize_relative(table: Tensor, length: int) -> Tensor:
    """Resize relative positions (2G-1, d) to (length, d), linear."""
    if table.shape[0] == length:
        return table
    resized = F.interpolate(
        table.t()[None], size=length, mode='linear', align_corners=False
    )
    return resized[0].t()


def relative_table(table: Tensor, size: int) -> Tensor:
    """Spread relative positions (2G-1, d) over all pairs of one axis.

    The table is first resized to 2*size-1 entries (linear), as SAM's
    ``get_rel_pos`` does for queries and keys of the same axis.

    Returns:
        (size, size, d); entry [i, j] belongs to query i and key j.
    """
    table = _resize_relative(table, 2 * size - 1)
    index = torch.arange(size, device=table.device)
    return table[index[:, None] - index[None, :] + size - 1]


def fit_tables(
    state_dict: dict[str, Tensor], model: nn.Module, prefix: str = ''
) -> list[str]:
    """Resize position tables of a state dict to those of a model, in place.

    Absolute ones are resized as :func:`resize_position` does, relative ones
    as :func:`relative_table`. Tables of other widths are left as they are.

    Args:
        state_dict: Weights to be loaded.
        model: The encoder that they are for.
        prefix: What stands before the model's names in ``state_dict``.

    Returns:
        What was resized, a phrase for each size.
    """
    said: Counter[str] = Counter()
    for name, own in model.named_parameters():
        table = state_dict.get(prefix + name)
        kind = name.rpartition('.')[2]
        if (
            kind not in ('pos_embed', 'rel_pos_h', 'rel_pos_w')
            or table is None
            or table.shape == own.shape
            or table.ndim != own.ndim
            or table.shape[-1] != own.shape[-1]
        ):
            continue
        if kind == 'pos_embed':
            grid = own.shape[1], own.shape[2]
            fitted = resize_position(table.float(), grid)
        else:
            fitted = _resize_relative(table.float(), own.shape[0])
        state_dict[prefix + name] = fitted.to(table.dtype)
        old, new = ('x'.join(map(str, t.shape[-3:-1])) for t in (table, own))
        said[f'{kind} from {old} to {new}'] += 1
    return [f'{what} ({count}x)' for what, count in said.items()]


class TableCache:
    """Keep what was made of a parameter until the parameter changes.

    In training with gradients everything is made anew. Whoever owns a cache
    clears it in ``train()``: averaged weights are swapped in by ways that
    leave no trace on the tensor.
    """

    def __init__(self) -> None:
        self._made: dict[Any, tuple[tuple, Tensor]] = {}

    def get(
        self, make: Callable[[Tensor, Any], Tensor], table: Tensor, size: Any
    ) -> Tensor:
        """Return ``make(table, size)``, from the cache where that is safe."""
        if (
            torch.compiler.is_compiling()
            # Tensor subclasses stand for others: fake ones have no memory.
            or type(table) is not nn.Parameter
            or table.is_inference()
            or (torch.is_grad_enabled() and table.requires_grad)
        ):
            return make(table, size)
        place = (make, id(table))
        state = (size, table.data_ptr(), table._version, table.dtype)
        found = self._made.get(place)
        if found is None or found[0] != state:
            # A tensor of inference mode could not be trained with later.
            with torch.inference_mode(False), torch.no_grad():
                found = (state, make(table, size))
            self._made[place] = found
        return found[1]

    def clear(self) -> None:
        """Forget everything."""
        self._made.clear()
