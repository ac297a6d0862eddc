"""The injector contract.

Shapes: B batch, L text tokens, H x W image grid, C encoder width, D text
width.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn


class TextInjector(BaseModule):
    """Decide which prompt tokens enter each encoder block.

    Every variant of the paper is ``prompt_i = f_i(text, prompt_{i-1},
    image_{i-1})``: a subclass implements :meth:`forward` as f_i, the encoder
    owns everything else.

    Under autocast, tokens that blocks add to keep the dtype of the text, as
    those of the image do: half precision would lose small updates.

    Args:
        embed_dims: Encoder width C. Filled in by the backbone.
        depth: Number of encoder blocks that see text. Filled in by the
            backbone.
        text_dims: Width D of the text encoder's output. Where it differs
            from C, one linear layer shared by all blocks maps text to C
            (ViT-L and ViT-H).
    """

    #: The first block that sees text, see :func:`build_injector`.
    first_block = 0
    #: Whether f_i reads prompt_{i-1} for i > 0. If not, the encoder does not
    #: compute the text part of the blocks' outputs.
    reads_prompt = False

    def __init__(
        self, embed_dims: int, depth: int, text_dims: int = 768
    ) -> None:
        super().__init__()
        self.text_dims = text_dims
        self.adapter: nn.Module = nn.Identity()
        if text_dims != embed_dims:
            self.adapter = nn.Linear(text_dims, embed_dims)

    def extra_settings(self) -> dict[str, int]:
        """Return what changes the result beside the arguments."""
        return dict(first_block=self.first_block)

    def adapt(self, text: Tensor) -> Tensor:
        """Map (B, L, D) text to the encoder's width, once per forward."""
        if text.shape[-1] != self.text_dims:
            raise ValueError(
                f'expected text of width {self.text_dims}, got '
                f'{text.shape[-1]}; set text_dims of {type(self).__name__} '
                "to the text encoder's width"
            )
        return self.adapter(text).to(text.dtype)

    def forward(
        self,
        layer: int,
        text: Tensor,
        prompt: Tensor,
        image: Tensor,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, L, C) prompt that enters block ``layer``.

        Args:
            layer: Index of the block among those that see text, from 0.
            text: (B, L, C) adapted text, the same for all blocks.
            prompt: (B, L, C) text part of the previous block's output where
                ``reads_prompt``; ``text`` itself at layer 0 and otherwise.
            image: (B, H, W, C) image tokens that enter the block.
            text_mask: (B, L) bool, False at tokens not to be attended, for
                injectors that themselves attend to text.
        """
        raise NotImplementedError


class ProjectionInjector(TextInjector):
    """Injectors that project some tokens anew for every block.

    Args:
        embed_dims: Encoder width C. Filled in by the backbone.
        depth: Number of blocks with text. Filled in by the backbone.
        text_dims: Width of the text encoder's output.
        dropout: Probability of dropping a channel of a prompt token.
        zero_init: Whether W_i starts at zero, so that a pre-trained encoder
            is disturbed little. An encoder that itself starts from random
            weights learns faster without.
    """

    def __init__(
        self,
        embed_dims: int,
        depth: int,
        text_dims: int = 768,
        dropout: float = 0.1,
        zero_init: bool = True,
    ) -> None:
        super().__init__(embed_dims, depth, text_dims)
        self.projections = nn.ModuleList(
            make_projection(embed_dims, zero_init) for _ in range(depth)
        )
        self.dropout = nn.Dropout(dropout)

    def project(self, layer: int, tokens: Tensor) -> Tensor:
        """Return dropout(W_layer tokens) for (B, L, C) tokens."""
        return self.dropout(self.projections[layer](tokens)).to(tokens.dtype)


class TokenInjector(TextInjector):
    """Injectors with static tokens: learned offsets of the text tokens.

    Args:
        embed_dims: Encoder width C. Filled in by the backbone.
        depth: Number of blocks with text. Filled in by the backbone.
        text_dims: Width of the text encoder's output.
        num_tokens: Longest text, the text encoder's ``max_tokens``.
    """

    #: The first block with an offset.
    first_layer = 0

    def __init__(
        self,
        embed_dims: int,
        depth: int,
        text_dims: int = 768,
        num_tokens: int = 20,
    ) -> None:
        super().__init__(embed_dims, depth, text_dims)
        self.offsets = nn.Parameter(
            torch.empty(depth - self.first_layer, num_tokens, embed_dims)
        )
        nn.init.normal_(self.offsets, std=0.02)
        # None of a single block: nothing would ever have a gradient.
        self.offsets.requires_grad_(self.offsets.numel() > 0)

    def adapt(self, text: Tensor) -> Tensor:
        """Map (B, L, D) text to the encoder's width, once per forward."""
        expected, got = self.offsets.shape[1], text.shape[1]
        if got > expected:
            raise ValueError(
                f'expected at most {expected} text tokens, got {got}; set '
                f'num_tokens of {type(self).__name__} to max_tokens of the '
                'text encoder'
            )
        return super().adapt(text)

    def offset(self, layer: int, tokens: Tensor) -> Tensor:
        """Add the offsets of a block to (B, L, C) tokens."""
        offsets = self.offsets[layer - self.first_layer]
        return tokens + offsets[: tokens.shape[1]]


def make_projection(embed_dims: int, zero_init: bool) -> nn.Linear:
    """Return a linear layer C -> C that starts at zero, or with Xavier's."""
    layer = nn.Linear(embed_dims, embed_dims)
    if zero_init:
        nn.init.zeros_(layer.weight)
    else:
        nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
