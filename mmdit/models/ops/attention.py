"""Attention of a CPU: a few queries, and their bias, at a time.

Shapes: as in ``mmdit/models/layers/backends.py``.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .private import PRIVATE

# Entries of the scores that are held at a time, for each thread. Measured on
# two cores with 32 MiB of cache: the best of 2**17 to 2**22, at 512 px and
# at 1024 px.
CHUNK_ENTRIES = 2**19


class _Chunked(torch.autograd.Function):
    """Attention of a few queries at a time, recomputed in the backward.

    Heads of all images are one dimension, (B*n, Q, d), and every query has
    a bias, text queries one of zeros; ``hidden`` is (B*n, 1, K) bool, True
    where a key must not be attended.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        rel_h: Tensor,
        rel_w: Tensor,
        hidden: Tensor | None,
    ) -> Tensor:
        """Return (B*n, Q, d)."""
        ctx.save_for_backward(query, key, value, rel_h, rel_w, hidden)
        out = torch.empty_like(query)
        for at, rows, bias in _pieces(key, rel_h, rel_w, hidden):
            out[at, rows] = _attend(query[at, rows], key[at], value[at], bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of all inputs."""
        query, key, value, rel_h, rel_w, hidden = ctx.saved_tensors
        scale = query.shape[-1] ** -0.5
        grid = rel_h.shape[-1], rel_w.shape[-1]
        texts = key.shape[1] - grid[0] * grid[1]
        # A query is in one piece, a key in several.
        d_query, d_rel_h, d_rel_w = (
            torch.empty_like(x) for x in (query, rel_h, rel_w)
        )
        d_key, d_value = torch.zeros_like(key), torch.zeros_like(value)
        for at, rows, bias in _pieces(key, rel_h, rel_w, hidden):
            q, k, v, g = query[at, rows], key[at], value[at], grad[at, rows]
            weights = _weights(q, k, bias)
            d_value[at].baddbmm_(weights.mT, g)
            d_scores = torch.bmm(g, v.mT)
            _softmax_backward_(d_scores, weights)
            d_query[at, rows].baddbmm_(d_scores, k, beta=0, alpha=scale)
            d_key[at].baddbmm_(d_scores.mT, q, alpha=scale)
            by_place = d_scores[..., texts:].unflatten(-1, grid)
            torch.sum(by_place, -1, out=d_rel_h[at, rows])
            torch.sum(by_place, -2, out=d_rel_w[at, rows])
        return d_query, d_key, d_value, d_rel_h, d_rel_w, None


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Return (heads, Q, d) of a piece; the bias may be overwritten."""
    if query.dtype == torch.bfloat16:
        # Fused attention would multiply as slowly as in float32.
        return torch.bmm(_weights(query, key, bias), value)
    # PyTorch 2.6 fuses it for four dimensions only.
    query, key, value, bias = (x[None] for x in (query, key, value, bias))
    return F.scaled_dot_product_attention(query, key, value, bias)[0]


def _weights(query: Tensor, key: Tensor, bias: Tensor) -> Tensor:
    """Turn the bias of a piece into the softmax of its scores, in place."""
    scores = bias.baddbmm_(query, key.mT, alpha=query.shape[-1] ** -0.5)
    return torch.softmax(scores, -1, out=scores)


def _softmax_backward_(grad: Tensor, weights: Tensor) -> None:
    """Turn the gradients of the weights into those of the scores, in place."""
    if 'softmax_backward' in PRIVATE:
        torch._softmax_backward_data(
            grad, weights, -1, weights.dtype, grad_input=grad
        )
    else:
        grad.sub_((grad * weights).sum(-1, keepdim=True)).mul_(weights)


def _pieces(
    key: Tensor, rel_h: Tensor, rel_w: Tensor, hidden: Tensor | None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Go through heads and queries piece by piece.

    Few heads with many queries each are better than many heads with few,
    because the keys of a head are prepared anew for each piece.

    Yields:
        A slice of the heads, one of the queries, and their bias, which the
        next one overwrites.
    """
    (heads, keys, _), queries = key.shape, rel_h.shape[1]
    size = max(1, CHUNK_ENTRIES * torch.get_num_threads() // keys)
    bias = rel_h.new_empty(0)
    for at in _slices(heads, size // queries):
        for rows in _slices(queries, size):
            by_row, by_column = rel_h[at, rows], rel_w[at, rows]
            bias.resize_(*by_row.shape[:-1], keys)
            _write_bias(by_row, by_column, bias)
            if hidden is not None:
                bias.masked_fill_(hidden[at], -torch.inf)
            yield at, rows, bias


def _slices(stop: int, size: int) -> Iterator[slice]:
    """Cut a range into even slices of about ``size``, at least 1."""
    # No remainder of a few: each slice prepares the keys anew.
    count = max(1, round(stop / max(1, size)))
    size = max(1, -(-stop // count))
    for start in range(0, stop, size):
        yield slice(start, min(start + size, stop))


def _write_bias(rel_h: Tensor, rel_w: Tensor, out: Tensor) -> None:
    """Fill (..., K) with the bias of queries for text and image keys."""
    grid = rel_h.shape[-1], rel_w.shape[-1]
    texts = out.shape[-1] - grid[0] * grid[1]
    out[..., :texts] = 0
    by_place = out[..., texts:].unflatten(-1, grid)
    torch.add(rel_h[..., None], rel_w[..., None, :], out=by_place)


def chunked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Attend with some queries, and their bias, at a time.

    Bias and scores are few enough to stay in the cache of a CPU.
    """
    heads, texts = query.shape[:2], query.shape[2] - rel_h.shape[2]
    rel_h, rel_w = (F.pad(x, (0, 0, texts, 0)) for x in (rel_h, rel_w))
    hidden = None
    if key_mask is not None:
        hidden = ~key_mask.repeat_interleave(heads[1], dim=0)[:, None]
    # A product copies rows that lie apart, once for each piece.
    flat = (
        x.flatten(0, 1).contiguous() for x in (query, key, value, rel_h, rel_w)
    )
    return _Chunked.apply(*flat, hidden).unflatten(0, heads)
