"""Ways to compute one and the same attention with relative positions.

All take the arguments of :func:`mmdit.models.layers.attend` and return the
same numbers; they differ in speed and memory.

Shapes: B batch, L text tokens, H x W image grid (N = H*W), Q queries and K
keys of which the last N are image tokens, n heads, d head width.
"""

from collections.abc import Callable, Iterator
from functools import cache
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
    scores = scores + _whole_bias(query, key, rel_h, rel_w, key_mask)
    return scores.softmax(dim=-1) @ value


def sdpa(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Give a fused attention the whole bias, but hold no scores."""
    bias = _whole_bias(query, key, rel_h, rel_w, key_mask)
    return F.scaled_dot_product_attention(query, key, value, bias)


def _whole_bias(
    query: Tensor,
    key: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None,
) -> Tensor:
    """Return the bias of each query for each key, (B, n, Q, K)."""
    bias = (rel_h[..., :, None] + rel_w[..., None, :]).flatten(-2)
    tokens = bias.shape[-1]
    texts = key.shape[2] - tokens, 0, query.shape[2] - tokens, 0
    bias = F.pad(bias, texts)
    if key_mask is not None:
        bias = bias.masked_fill(~key_mask[:, None, None], -torch.inf)
    return bias


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


def flex(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Let FlexAttention look the bias of each score up inside its kernel.

    On a GPU it is compiled, once for each size of input. On a CPU, where
    PyTorch gives it no backward pass, it holds all scores.
    """
    run = _flex
    if query.device.type != 'cpu' and not torch.compiler.is_compiling():
        run = _compiled_flex()
    return run(query, key, value, rel_h, rel_w, key_mask)


@cache
def _compiled_flex() -> Callable[..., Tensor]:
    """Return ``_flex``, compiled."""
    return torch.compile(_flex, dynamic=False)


def _flex(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None,
) -> Tensor:
    """Attend with a bias that is looked up: 0 for text, on either side."""
    from torch.nn.attention.flex_attention import flex_attention

    height, width = rel_h.shape[-1], rel_w.shape[-1]
    tokens = height * width
    texts, no_bias = key.shape[2] - tokens, query.shape[2] - tokens
    place = torch.arange(tokens, device=key.device)
    rows = F.pad(place // width, (texts, 0), value=height)
    columns = F.pad(place % width, (texts, 0), value=width)
    # Gradients of a bias are sums over keys: not of half precision.
    dtype = torch.promote_types(query.dtype, torch.float32)
    rel_h, rel_w = (
        F.pad(x.to(dtype), (0, 1, no_bias, 0)) for x in (rel_h, rel_w)
    )

    def add_bias(
        score: Tensor, image: Tensor, head: Tensor, i: Tensor, j: Tensor
    ) -> Tensor:
        by_row = rel_h[image, head, i, rows[j]]
        score = score + by_row + rel_w[image, head, i, columns[j]]
        if key_mask is not None:
            score = torch.where(key_mask[image, j], score, -torch.inf)
        return score

    out = flex_attention(query, key, value, score_mod=add_bias)
    assert isinstance(out, Tensor)
    return out


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
            weights = _weights(query[at, rows], key[at], bias)
            torch.bmm(weights, value[at], out=out[at, rows])
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
            torch._softmax_backward_data(
                d_scores, weights, -1, weights.dtype, grad_input=d_scores
            )
            d_query[at, rows].baddbmm_(d_scores, k, beta=0, alpha=scale)
            d_key[at].baddbmm_(d_scores.mT, q, alpha=scale)
            by_place = d_scores[..., texts:].unflatten(-1, grid)
            torch.sum(by_place, -1, out=d_rel_h[at, rows])
            torch.sum(by_place, -2, out=d_rel_w[at, rows])
        return d_query, d_key, d_value, d_rel_h, d_rel_w, None


def _weights(query: Tensor, key: Tensor, bias: Tensor) -> Tensor:
    """Turn the bias of a piece into the softmax of its scores, in place."""
    scores = bias.baddbmm_(query, key.mT, alpha=query.shape[-1] ** -0.5)
    return torch.softmax(scores, -1, out=scores)


def _pieces(
    key: Tensor, rel_h: Tensor, rel_w: Tensor, hidden: Tensor | None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Go through heads and queries piece by piece.

    Few heads with many queries each are better than many heads with few,
    because the keys of a head are prepared anew for each piece.

    Yields:
        A slice of the heads, one of the queries, and their bias.
    """
    (heads, keys, _), queries = key.shape, rel_h.shape[1]
    size = max(1, CHUNK_ENTRIES * torch.get_num_threads() // keys)
    for at in _slices(heads, size // queries):
        for rows in _slices(queries, size):
            bias = _bias(rel_h[at, rows], rel_w[at, rows], keys)
            if hidden is not None:
                bias.masked_fill_(hidden[at], -torch.inf)
            yield at, rows, bias


def _slices(stop: int, size: int) -> Iterator[slice]:
    """Cut a range into even slices of about ``size``, at least 1."""
    # No remainder of a few: each slice prepares the keys anew.
    count = max(1, round(stop / max(1, size)))
    size = -(-stop // count)
    for start in range(0, stop, size):
        yield slice(start, min(start + size, stop))


def _bias(rel_h: Tensor, rel_w: Tensor, keys: int) -> Tensor:
    """Return the bias (..., K) of queries for text and image keys."""
    height, width = rel_h.shape[-1], rel_w.shape[-1]
    bias = rel_h.new_empty(*rel_h.shape[:-1], keys)
    texts = keys - height * width
    bias[..., :texts] = 0
    by_place = bias[..., texts:].unflatten(-1, (height, width))
    torch.add(rel_h[..., None], rel_w[..., None, :], out=by_place)
    return bias


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


BACKENDS: dict[str, Callable[..., Tensor]] = dict(
    reference=reference,
    sdpa=sdpa,
    folded=folded,
    flex=flex,
    chunked=chunked,
)


def check_backend(name: str) -> None:
    """Reject an unknown backend, naming the known ones."""
    if name not in ('auto', *BACKENDS):
        raise ValueError(
            f'unknown attention backend {name!r}; known: auto, '
            f'{", ".join(BACKENDS)}'
        )


def choose_backend(query: Tensor) -> str:
    """Name the fastest backend for a device."""
    if (
        query.device.type == 'cpu'
        # A CPU multiplies float16 fast in fused attention only.
        and query.dtype != torch.float16
        and not torch.compiler.is_compiling()
    ):
        return 'chunked'
    return 'folded'
