"""Layer-wise injectors: every encoder block receives fresh prompt tokens.

Shapes: B batch, L text tokens, C encoder width.
"""

from torch import Tensor

from mmdit.registry import MODELS

from .base import ProjectionInjector, TokenInjector


@MODELS.register_module()
class LayerwiseProjection(ProjectionInjector):
    """L-DIT: project the text anew for every block (paper, Sec. 3.3).

    prompt_i = dropout(W_i text). Arguments: :class:`ProjectionInjector`.
    """

    def forward(
        self,
        layer: int,
        text: Tensor,
        prompt: Tensor,
        image: Tensor,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, L, C) prompt that enters block ``layer``."""
        return self.project(layer, text)


@MODELS.register_module()
class LayerwiseToken(TokenInjector):
    """L-DIT with static tokens: a learned offset of the text per block.

    prompt_i = text + offset_i (paper, ablations). Arguments:
    :class:`TokenInjector`.
    """

    def forward(
        self,
        layer: int,
        text: Tensor,
        prompt: Tensor,
        image: Tensor,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, L, C) prompt that enters block ``layer``."""
        return self.offset(layer, text)
