"""End-to-end injectors: the prompt tokens pass from block to block.

Shapes: B batch, L text tokens, C encoder width.
"""

from torch import Tensor, nn

from mmdit.registry import MODELS

from .base import ProjectionInjector, TokenInjector, make_projection


@MODELS.register_module()
class EndToEndProjection(ProjectionInjector):
    """E-DIT: text enters the first block and passes through all others.

    prompt_i = dropout(W_i prompt_{i-1}) with prompt_{-1} = text (paper,
    Sec. 3.2: the projection at the output of each layer lets frozen blocks
    digest text). Arguments: :class:`ProjectionInjector`.
    """

    reads_prompt = True

    def forward(
        self,
        layer: int,
        text: Tensor,
        prompt: Tensor,
        image: Tensor,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, L, C) prompt that enters block ``layer``."""
        return self.project(layer, prompt)


@MODELS.register_module()
class EndToEndToken(TokenInjector):
    """E-DIT with static tokens: a learned offset between the blocks.

    prompt_0 = dropout(W text), prompt_i = prompt_{i-1} + offset_{i-1}, where
    prompt_{i-1} is what the block before made of the text (paper,
    ablations).

    Args:
        embed_dims: Encoder width C. Filled in by the backbone.
        depth: Number of blocks with text. Filled in by the backbone.
        text_dims: Width of the text encoder's output.
        num_tokens: Longest text, the text encoder's ``max_tokens``.
        dropout: Probability of dropping a channel of a projected token.
        zero_init: Whether W starts at zero; see
            :class:`ProjectionInjector`.
    """

    reads_prompt = True
    first_layer = 1

    def __init__(
        self,
        embed_dims: int,
        depth: int,
        text_dims: int = 768,
        num_tokens: int = 20,
        dropout: float = 0.1,
        zero_init: bool = True,
    ) -> None:
        super().__init__(embed_dims, depth, text_dims, num_tokens)
        self.projection = make_projection(embed_dims, zero_init)
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
        if layer == 0:
            return self.dropout(self.projection(text)).to(text.dtype)
        return self.offset(layer, prompt)
