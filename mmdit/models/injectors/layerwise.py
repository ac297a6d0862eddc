"""Layer-wise injectors: every encoder block receives fresh prompt tokens.

Shapes: B batch, L text tokens, C encoder width.
"""

from torch import Tensor, nn

from mmdit.registry import MODELS

from .base import TextInjector, make_projections


@MODELS.register_module()
class LayerwiseProjection(TextInjector):
    """L-DIT: project the text anew for every block (paper, Sec. 3.2).

    prompt_i = dropout(W_i text).

    Args:
        embed_dims: Encoder width C. Filled in by the backbone.
        depth: Number of encoder blocks. Filled in by the backbone.
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
        self.projections = make_projections(embed_dims, depth, zero_init)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, layer: int, text: Tensor, prompt: Tensor, image: Tensor
    ) -> Tensor:
        """Return the (B, L, C) prompt that enters block ``layer``."""
        return self.dropout(self.projections[layer](text))
