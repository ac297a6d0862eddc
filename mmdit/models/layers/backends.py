"""Ways to compute one and the same attention with relative positions.

All take the arguments of :func:`mmdit.models.layers.attend` and return the
same numbers; they differ in speed and memory.

Shapes: B batch, L text tokens, H x W image grid (N = H*W), Q queries and K
keys of which the last N are image tokens, n heads, d head width.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Entries of the scores that are held at a time, for each thread. Measured on
# two cores with 32 MiB of cache: the best of 2**17 to 2**22, at 512 px and
# at 1024 px.
CHUNK_ENTRIES = 2**19
# Added to the scores of masked keys where -inf would give NaN gradients;
# exp(-1e4) is 0 in every floating point format.
MASKED = -1e4


def reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Hold all scores at once: the formula, written down."""
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    bias = (rel_h[..., :, None] + rel_w[..., None, :]).flatten(-2)
    tokens = bias.shape[-1]
    texts = scores.shape[-1] - tokens, 0, scores.shape[-2] - tokens, 0
    scores = scores + F.pad(bias, texts)
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask[:, None, None], -torch.inf)
    return scores.softmax(dim=-1) @ value


def position_codes(
    height: int, width: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return one-hot codes of row and column of each key, (N, H + W)."""
    # Not F.one_hot, for each size of which torch.compile starts anew.
    index = torch.arange(height * width, device=device)[:, None]
    rows = torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    return torch.cat(
        [index // width == rows, index % width == columns], dim=-1
    ).to(dtype)


def folded(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Make the bias a part of the product of query and key.

    It is the inner product of (rel_h, rel_w) with one-hot codes of the key's
    row and column. Appended to the heads, a fused attention adds it without
    ever holding N x N numbers; masked keys take one more coordinate.
    """
    head_width = query.shape[-1]
    height, width = rel_h.shape[-1], rel_w.shape[-1]
    tokens = height * width
    bias = torch.cat([rel_h, rel_w], dim=-1)
    codes = position_codes(height, width, key.dtype, key.device)
    queries = [
        query * head_width**-0.5,
        F.pad(bias, (0, 0, query.shape[2] - tokens, 0)),
    ]
    codes = F.pad(codes, (0, 0, key.shape[2] - tokens, 0))
    keys = [key, codes.expand(*key.shape[:2], -1, -1)]
    if key_mask is not None:
        hidden = (~key_mask).to(key.dtype) * MASKED
        keys.append(hidden[:, None, :, None].expand(-1, key.shape[1], -1, 1))
        queries.append(query.new_ones(*query.shape[:3], 1))
    wide_query, wide_key = torch.cat(queries, -1), torch.cat(keys, -1)
    # Fused kernels want values as wide as keys.
    added = wide_key.shape[-1] - head_width
    out = F.scaled_dot_product_attention(
        wide_query, wide_key, F.pad(value, (0, added)), scale=1.0
    )
    return out[..., :head_width]


class _Chunked(torch.autograd.Function):
    """Attention of a few queries at a time, recomputed in the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        rel_h: Tensor,
        rel_w: Tensor,
        key_mask: Tensor | None,
    ) -> Tensor:
        """Return (B, n, Q, d)."""
        ctx.save_for_backward(query, key, value, rel_h, rel_w, key_mask)
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
        scale = query.shape[-1] ** -0.5
        for at, rows, bias in _pieces(query, key, rel_h, rel_w, key_mask):
            q, k, v = query[at][:, :, rows], key[at], value[at]
            if query.dtype == torch.bfloat16:
                # The fused kernel multiplies these as slowly as float32.
                part = _weights(q, k, bias, scale) @ v.flatten(0, 1)
                out[at][:, :, rows] = part.unflatten(0, bias.shape[:2])
            else:
                out[at][:, :, rows] = _flash(
                    q, k, v, attn_mask=bias, scale=scale
                )[0]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of all inputs."""
        query, key, value, rel_h, rel_w, key_mask = ctx.saved_tensors
        scale = query.shape[-1] ** -0.5
        texts = query.shape[2] - rel_h.shape[2]
        grid = rel_h.shape[-1], rel_w.shape[-1]
        d_query, d_key, d_value, d_rel_h, d_rel_w = (
            torch.zeros_like(x) for x in (query, key, value, rel_h, rel_w)
        )
        for at, rows, bias in _pieces(query, key, rel_h, rel_w, key_mask):
            q, k, v = query[at][:, :, rows], key[at], value[at]
            weights = _weights(q, k, bias, scale)
            q, k, v = q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)
            g = grad[at][:, :, rows].flatten(0, 1)
            d_value[at] += (weights.mT @ g).unflatten(0, bias.shape[:2])
            # The memory of the scores is in the cache.
            d_weights = torch.bmm(g, v.mT, out=bias.flatten(0, 1))
            d_scores = torch._softmax_backward_data(
                d_weights, weights, -1, weights.dtype
            )
            d_query[at][:, :, rows] = (d_scores @ k * scale).unflatten(
                0, bias.shape[:2]
            )
            d_key[at] += (d_scores.mT @ q * scale).unflatten(0, bias.shape[:2])
            if rows.start >= texts:
                image = slice(rows.start - texts, rows.stop - texts)
                by_place = d_scores[..., -rel_h.shape[2] :]
                by_place = by_place.unflatten(-1, grid)
                by_place = by_place.unflatten(0, bias.shape[:2])
                d_rel_h[at][:, :, image] = by_place.sum(-1)
                d_rel_w[at][:, :, image] = by_place.sum(-2)
        return d_query, d_key, d_value, d_rel_h, d_rel_w, None


def _weights(query: Tensor, key: Tensor, bias: Tensor, scale: float) -> Tensor:
    """Return softmax(query key^T scale + bias), (B*n, Q, K).

    The bias (B, n, Q, K) is overwritten.
    """
    scores = bias.flatten(0, 1).baddbmm_(
        query.flatten(0, 1), key.flatten(0, 1).mT, alpha=scale
    )
    return scores.softmax(dim=-1)


def _pieces(
    query: Tensor,
    key: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None,
) -> Iterator[tuple[tuple[slice, slice], slice, Tensor]]:
    """Go through images, heads and queries piece by piece.

    Few heads with many queries each are better than many heads with few,
    because the keys of a head are prepared anew for each piece.

    Yields:
        A slice of batch and heads, one of the queries, and their bias.
    """
    batch, heads, queries, _ = query.shape
    keys, texts = key.shape[2], query.shape[2] - rel_h.shape[2]
    rows = max(1, CHUNK_ENTRIES * torch.get_num_threads() // keys)
    for images in _slices(batch, rows // (heads * queries)):
        hidden = None if key_mask is None else ~key_mask[images, None, None]
        for some in _slices(heads, rows // queries):
            at = images, some
            bias_h, bias_w = rel_h[at], rel_w[at]
            if texts:
                shape = (*bias_h.shape[:2], texts, keys)
                bias = bias_h.new_zeros(shape)
                if hidden is not None:
                    bias.masked_fill_(hidden, -torch.inf)
                yield at, slice(0, texts), bias
            for part in _slices(queries - texts, rows):
                bias = _bias(bias_h[:, :, part], bias_w[:, :, part], keys)
                if hidden is not None:
                    bias.masked_fill_(hidden, -torch.inf)
                yield at, slice(part.start + texts, part.stop + texts), bias


def _slices(total: int, size: int) -> Iterator[slice]:
    """Cut ``range(total)`` into even slices of about ``size``, at least 1."""
    if not total:
        return
    # No remainder of a few: each slice prepares the keys anew.
    size = -(-total // max(1, round(total / max(1, size))))
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def _bias(rel_h: Tensor, rel_w: Tensor, keys: int) -> Tensor:
    """Return the bias (..., K) of image queries for text and image keys."""
    height, width = rel_h.shape[-1], rel_w.shape[-1]
    bias = rel_h.new_empty(*rel_h.shape[:-1], keys)
    texts = keys - height * width
    bias[..., :texts] = 0
    by_place = bias[..., texts:].unflatten(-1, (height, width))
    torch.add(rel_h[..., None], rel_w[..., None, :], out=by_place)
    return bias


def _flash(*args: Tensor, **kwargs: Any) -> tuple[Tensor, ...]:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        *args, **kwargs
    )


def chunked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Attend with some queries, and their bias, at a time.

    Bias and scores are few enough to stay in the cache of a CPU. PyTorch's
    fused attention takes them in float32, plain products in bfloat16.
    """
    return _Chunked.apply(query, key, value, rel_h, rel_w, key_mask)


BACKENDS: dict[str, Callable[..., Tensor]] = dict(
    reference=reference, folded=folded, chunked=chunked
)


def check_backend(name: str) -> None:
    """Refuse an unknown backend, naming the known ones."""
    if name not in ('auto', *BACKENDS):
        raise ValueError(
            f'unknown attention backend {name!r}; known: auto, '
            f'{", ".join(BACKENDS)}'
        )


def choose_backend(query: Tensor, rel_h: Tensor) -> str:
    """Name the fastest backend for a device."""
    if query.device.type == 'cpu' and not torch.compiler.is_compiling():
        return 'chunked'
    return 'folded'
