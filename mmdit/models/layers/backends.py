"""Ways to compute one and the same attention with relative positions.

All take the arguments of :func:`mmdit.models.layers.attend` and return the
same numbers; they differ in speed and memory.

Shapes: B batch, L text tokens, H x W image grid (N = H*W), Q queries and K
keys of which the last N are image tokens, n heads, d head width.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdit.models.ops import chunked

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
