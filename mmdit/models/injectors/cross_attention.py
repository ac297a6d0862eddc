"""Layer-wise injectors whose text looks around before it enters a block.

Shapes: B batch, L text tokens, K keys, H x W image grid, C encoder width, n
heads, I inner width of the attention.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mmdit.models.layers.norm import StdLayerNorm
from mmdit.registry import MODELS

from .base import ProjectionInjector, TextInjector


class CrossAttention(nn.Module):
    """Multi-head attention of text tokens to other tokens.

    Args:
        embed_dims: Width C of all tokens.
        inner_dims: Width I of queries, keys and values together.
        num_heads: Number of heads n.
    """

    def __init__(
        self, embed_dims: int, inner_dims: int, num_heads: int
    ) -> None:
        super().__init__()
        if inner_dims % num_heads:
            raise ValueError(
                f'inner_dims must be a multiple of num_heads, got '
                f'{inner_dims} and {num_heads}'
            )
        self.num_heads = num_heads
        self.query = nn.Linear(embed_dims, inner_dims)
        self.key = nn.Linear(embed_dims, inner_dims)
        self.value = nn.Linear(embed_dims, inner_dims)
        self.out = nn.Linear(inner_dims, embed_dims)

    def forward(
        self, query: Tensor, source: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Let (B, L, C) queries attend to a (B, K, C) source.

        Args:
            query: (B, L, C).
            source: (B, K, C), keys and values.
            mask: (B, K) bool, False at keys not to be attended.

        Returns:
            (B, L, C).
        """
        out = F.scaled_dot_product_attention(
            self._heads(self.query(query)),
            self._heads(self.key(source)),
            self._heads(self.value(source)),
            attn_mask=None if mask is None else mask[:, None, None],
        )
        return self.out(out.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """Split (B, S, I) into heads (B, n, S, I / n)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


@MODELS.register_module()
class LayerwiseCrossAttention(ProjectionInjector):
    """L-DIT whose text attends to what the block before made of it.

    prompt_0 = W_0 text, and then prompt_i = norm(W_i text +
    dropout(attention(query text; key, value prompt_{i-1}))) (paper,
    ablations: "CrossAtt").

    Args:
        embed_dims: Encoder width C. Filled in by the backbone.
        depth: Number of blocks with text. Filled in by the backbone.
        text_dims: Width of the text encoder's output.
        dropout: Probability of dropping a channel of the attention's output.
        zero_init: See :class:`ProjectionInjector`.
        inner_dims: Width of the attention.
        num_heads: Heads of the attention.
    """

    reads_prompt = True

    def __init__(
        self,
        embed_dims: int,
        depth: int,
        text_dims: int = 768,
        dropout: float = 0.1,
        zero_init: bool = True,
        inner_dims: int = 512,
        num_heads: int = 8,
    ) -> None:
        super().__init__(embed_dims, depth, text_dims, dropout, zero_init)
        self.num_heads = num_heads
        self.attentions = nn.ModuleList(
            CrossAttention(embed_dims, inner_dims, num_heads)
            for _ in range(depth - 1)
        )
        self.norms = nn.ModuleList(
            StdLayerNorm(embed_dims) for _ in range(depth - 1)
        )

    def forward(
        self,
        layer: int,
        text: Tensor,
        prompt: Tensor,
        image: Tensor,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, L, C) prompt that enters block ``layer``."""
        projected = self.projections[layer](text).to(text.dtype)
        if layer == 0:
            return projected
        update = self.attentions[layer - 1](text, prompt, text_mask)
        return self.norms[layer - 1](projected + self.dropout(update))


class DecoderLayer(nn.Module):
    """Cross-attention and an MLP, each with a residual and a norm after it."""

    def __init__(
        self,
        embed_dims: int,
        inner_dims: int,
        num_heads: int,
        mlp_dims: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = CrossAttention(embed_dims, inner_dims, num_heads)
        self.norm1 = StdLayerNorm(embed_dims)
        self.ffn = nn.ModuleDict(
            dict(
                fc1=nn.Linear(embed_dims, mlp_dims),
                fc2=nn.Linear(mlp_dims, embed_dims),
            )
        )
        self.norm2 = StdLayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor, source: Tensor) -> Tensor:
        """Update (B, L, C) text by a (B, K, C) source."""
        update = self.dropout(self.attention(text, source))
        text = self.norm1(text + update)
        hidden = self.dropout(F.relu(self.ffn['fc1'](text)))
        return self.norm2(text + self.dropout(self.ffn['fc2'](hidden)))


@MODELS.register_module()
class LayerwiseCrossAttentionFFN(TextInjector):
    """L-DIT whose text attends to the image before it enters a block.

    prompt_i = norm(text + dropout(F_i(text; image_{i-1}))), F_i a decoder
    layer of cross-attention and FFN (paper, ablations: "CrossAtt+FFN").

    Args:
        embed_dims: Encoder width C. Filled in by the backbone.
        depth: Number of blocks with text. Filled in by the backbone.
        text_dims: Width of the text encoder's output.
        dropout: Probability of dropping a channel, in F_i and after it.
        inner_dims: Width of the attention.
        num_heads: Heads of the attention.
        mlp_dims: Hidden width of the FFN.
    """

    def __init__(
        self,
        embed_dims: int,
        depth: int,
        text_dims: int = 768,
        dropout: float = 0.1,
        inner_dims: int = 512,
        num_heads: int = 8,
        mlp_dims: int = 2048,
    ) -> None:
        super().__init__(embed_dims, depth, text_dims)
        self.num_heads = num_heads
        self.layers = nn.ModuleList(
            DecoderLayer(embed_dims, inner_dims, num_heads, mlp_dims, dropout)
            for _ in range(depth)
        )
        self.norms = nn.ModuleList(
            StdLayerNorm(embed_dims) for _ in range(depth)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        layer: int,
        text: Tensor,
        prompt: Tensor,
        image: Tensor,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, L, C) prompt that enters block ``layer``."""
        update = self.layers[layer](text, image.flatten(1, 2))
        return self.norms[layer](text + self.dropout(update))
