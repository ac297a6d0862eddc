"""Layer-wise injectors: every encoder block receives fresh prompt tokens.

Shapes: B batch, L text tokens, C encoder width.
"""

from torch import Tensor

from mmdit.registry import MODELS

from .base import ProjectionInjector


@MODELS.register_module()
class LayerwiseProjection(ProjectionInjector):
    """L-DIT: project the text anew for every block (paper, Sec. 3.2).

    prompt_i = dropout(W_i text). Arguments: :class:`ProjectionInjector`.
    """

    def forward(
        self, layer: int, text: Tensor, prompt: Tensor, image: Tensor
    ) -> Tensor:
        """Return the (B, L, C) prompt that enters block ``layer``."""
        return self.project(layer, text)
