"""End-to-end injectors: the prompt tokens travel from block to block.

Shapes: B batch, L text tokens, C encoder width.
"""

from torch import Tensor

from mmdit.registry import MODELS

from .base import ProjectionInjector


@MODELS.register_module()
class EndToEndProjection(ProjectionInjector):
    """E-DIT: text enters the first block, then follows the image's way.

    prompt_i = dropout(W_i prompt_{i-1}) with prompt_{-1} = text (paper,
    Sec. 3.2: the projection at the output of each layer lets frozen blocks
    digest text). Arguments: :class:`ProjectionInjector`.
    """

    reads_prompt = True

    def forward(
        self, layer: int, text: Tensor, prompt: Tensor, image: Tensor
    ) -> Tensor:
        """Return the (B, L, C) prompt that enters block ``layer``."""
        return self.project(layer, prompt)
