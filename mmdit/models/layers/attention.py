"""Joint attention of text and image tokens with SAM's relative positions.

Shapes: B batch, L text tokens, H x W image grid (N = H*W), C width, n heads,
d head width. Text stands before the image in every sequence.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backends import BACKENDS, check_backend, choose_backend
from .linear import Linear
from .position import TableCache, relative_table
from .window import merge_windows, split_windows


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None = None,
    backend: str = 'auto',
) -> Tensor:
    """Exact attention with the bias rel_h[i, row(j)] + rel_w[i, col(j)].

    Args:
        query: (B, n, Q, d); the last N rows are image tokens, rows before
            them text, which has no bias.
        key: (B, n, K, d); the last N rows are image tokens.
        value: (B, n, K, d).
        rel_h: (B, n, N, H) bias of each image query for each row of keys.
        rel_w: (B, n, N, W) bias of each image query for each column of keys.
        key_mask: (B, K) bool, False where a key must not be attended.
        backend: How it is computed, a key of ``BACKENDS``; 'auto' takes the
            one that was measured to be the fastest.

    Returns:
        (B, n, Q, d).
    """
    check_backend(backend)
    if backend == 'auto':
        backend = choose_backend(query)
    return BACKENDS[backend](query, key, value, rel_h, rel_w, key_mask)


class JointAttention(nn.Module):
    """Self-attention over [text; image]; parameters named as SAM's.

    The bias of relative positions holds between image tokens only; every
    score that involves text has none (paper, Sec. 3.2).

    Args:
        embed_dims: Width C.
        num_heads: Number of heads n.
        table_size: Side of the grid that the relative tables were trained
            on; they hold 2 * table_size - 1 entries.
        window_size: Side of the attention windows in tokens; 0 attends over
            the whole image. The text joins every window, and its update is
            the mean of what the windows of its image say.
        backend: See :func:`attend`.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        table_size: int,
        window_size: int = 0,
        backend: str = 'auto',
    ) -> None:
        super().__init__()
        check_backend(backend)
        self.num_heads = num_heads
        self.window_size = window_size
        self.backend = backend
        head_width = embed_dims // num_heads
        self.qkv = Linear(embed_dims, embed_dims * 3)
        self.proj = Linear(embed_dims, embed_dims)
        self.rel_pos_h = nn.Parameter(
            torch.zeros(2 * table_size - 1, head_width)
        )
        self.rel_pos_w = nn.Parameter(
            torch.zeros(2 * table_size - 1, head_width)
        )
        self._tables = TableCache()

    def train(self, mode: bool = True) -> 'JointAttention':
        """Forget the resized tables, which may be of other weights."""
        self._tables.clear()
        return super().train(mode)

    def forward(
        self,
        x: Tensor,
        grid: tuple[int, int],
        text_mask: Tensor | None = None,
        update_text: bool = True,
    ) -> Tensor:
        """Let every token attend to every token, within each window.

        Args:
            x: (B, L + N, C).
            grid: H and W of the image tokens.
            text_mask: (B, L) bool, False where a token must not be attended.
            update_text: Whether the text's own output is wanted.

        Returns:
            (B, L + N, C), or (B, N, C) without ``update_text``.
        """
        qkv, area = self.qkv(x), grid
        if self.window_size:
            # Behind the layer, which maps SAM's zero padding to its bias.
            qkv = split_windows(qkv, grid, self.window_size, self.qkv.bias)
            area = self.window_size, self.window_size
        tokens = area[0] * area[1]
        texts = qkv.shape[1] - tokens
        qkv = qkv.unflatten(2, (3, self.num_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        by_row = query[:, :, texts:].unflatten(2, area)
        table_h, table_w = self._resized_tables(*area)
        rel_h = torch.einsum('bnhwd,hkd->bnhwk', by_row, table_h)
        rel_w = torch.einsum('bnhwd,wkd->bnhwk', by_row, table_w)
        key_mask = None
        if text_mask is not None:
            windows = key.shape[0] // x.shape[0]
            key_mask = F.pad(text_mask, (0, tokens), value=True)
            key_mask = key_mask.repeat_interleave(windows, dim=0)
        out = attend(
            query if update_text else query[:, :, texts:],
            key,
            value,
            rel_h.flatten(2, 3),
            rel_w.flatten(2, 3),
            key_mask,
            self.backend,
        )
        out = out.transpose(1, 2).flatten(2)
        if self.window_size:
            out = merge_windows(out, grid, self.window_size)
        return self.proj(out)

    def _resized_tables(
        self, height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        """Return relative positions (H, H, d) and (W, W, d) of the grid."""
        get = self._tables.get
        return (
            get(relative_table, self.rel_pos_h, height),
            get(relative_table, self.rel_pos_w, width),
        )


@contextmanager
def attention_backend(model: nn.Module, name: str) -> Iterator[None]:
    """Let a model attend in a certain way for a while.

    All give the same numbers. 'chunked', the choice on a CPU, is a loop that
    neither exporters nor tensors without data can follow.

    Args:
        model: Any module.
        name: A key of ``BACKENDS``.
    """
    layers = [m for m in model.modules() if isinstance(m, JointAttention)]
    before = [layer.backend for layer in layers]
    for layer in layers:
        layer.backend = name
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.backend = own
