"""Joint attention of text and image tokens with SAM's relative positions.

Shapes: B batch, L text tokens, H x W image grid (N = H*W), C width, n heads,
d head width. Text stands before the image in every sequence.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .position import relative_table


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Exact attention with the bias rel_h[i, row(j)] + rel_w[i, col(j)].

    The bias is an inner product of (rel_h, rel_w) with one-hot codes of the
    key's row and column, so it is appended to the head width: fused attention
    kernels then add it without ever holding a bias of N x N entries.

    Args:
        query: (B, n, Q, d); the last N rows are image tokens, rows before
            them text, which has no bias.
        key: (B, n, K, d); the last N rows are image tokens.
        value: (B, n, K, d).
        rel_h: (B, n, N, H) bias of each image query for each row of keys.
        rel_w: (B, n, N, W) bias of each image query for each column of keys.
        key_mask: (B, K) bool, False where a key must not be attended.

    Returns:
        (B, n, Q, d).
    """
    head_width = query.shape[-1]
    height, width = rel_h.shape[-1], rel_w.shape[-1]
    tokens = height * width
    query_code = torch.cat([rel_h, rel_w], dim=-1)
    query_code = F.pad(query_code, (0, 0, query.shape[2] - tokens, 0))
    index = torch.arange(tokens, device=key.device)
    key_code = torch.cat(
        [F.one_hot(index // width, height), F.one_hot(index % width, width)],
        dim=-1,
    ).to(key.dtype)
    key_code = F.pad(key_code, (0, 0, key.shape[2] - tokens, 0))
    key_code = key_code.expand(*key.shape[:2], -1, -1)
    out = F.scaled_dot_product_attention(
        torch.cat([query * head_width**-0.5, query_code], dim=-1),
        torch.cat([key, key_code], dim=-1),
        # The CPU's fused kernel wants values as wide as keys.
        F.pad(value, (0, height + width)),
        attn_mask=None if key_mask is None else key_mask[:, None, None],
        scale=1.0,
    )
    return out[..., :head_width]


class JointAttention(nn.Module):
    """Self-attention over [text; image]; parameters named as SAM's.

    The bias of relative positions holds between image tokens only; every
    score that involves text has none (paper, Sec. 3.2).

    Args:
        embed_dims: Width C.
        num_heads: Number of heads n.
        table_size: Side of the grid that the relative tables were trained
            on; they hold 2 * table_size - 1 entries.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, table_size: int
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        head_width = embed_dims // num_heads
        self.qkv = nn.Linear(embed_dims, embed_dims * 3)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.rel_pos_h = nn.Parameter(
            torch.zeros(2 * table_size - 1, head_width)
        )
        self.rel_pos_w = nn.Parameter(
            torch.zeros(2 * table_size - 1, head_width)
        )

    def forward(
        self,
        image: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        update_text: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Let every token attend to every token.

        Args:
            image: (B, H, W, C).
            text: (B, L, C).
            text_mask: (B, L) bool, False where a token must not be attended.
            update_text: Whether the text's own output is wanted.

        Returns:
            The image's (B, H, W, C) and the text's (B, L, C) output, the
            latter None without text or ``update_text``.
        """
        batch, height, width, channels = image.shape
        query, key, value = self._heads(image.flatten(1, 2))
        by_row = query.unflatten(2, (height, width))
        rel_h = torch.einsum(
            'bnhwd,hkd->bnhwk', by_row, relative_table(self.rel_pos_h, height)
        ).flatten(2, 3)
        rel_w = torch.einsum(
            'bnhwd,wkd->bnhwk', by_row, relative_table(self.rel_pos_w, width)
        ).flatten(2, 3)
        key_mask = None
        if text is not None:
            text_query, text_key, text_value = self._heads(text)
            key = torch.cat([text_key, key], dim=2)
            value = torch.cat([text_value, value], dim=2)
            if update_text:
                query = torch.cat([text_query, query], dim=2)
            if text_mask is not None:
                key_mask = F.pad(text_mask, (0, height * width), value=True)
        out = attend(query, key, value, rel_h, rel_w, key_mask)
        out = self.proj(out.transpose(1, 2).flatten(2))
        text_out = None
        if text is not None and update_text:
            text_out, out = out.split([text.shape[1], height * width], dim=1)
        return out.unflatten(1, (height, width)), text_out

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project (B, S, C) to queries, keys and values (B, n, S, d)."""
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))
        return qkv.permute(2, 0, 3, 1, 4).unbind(0)
