"""Layer normalizations that torch does not have."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm2d(nn.LayerNorm):
    """Normalize every pixel of a (B, C, H, W) map over its channels."""

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__(num_channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized (B, C, H, W) map."""
        x = F.layer_norm(
            x.permute(0, 2, 3, 1),
            self.normalized_shape,
            self.weight,
            self.bias,
            self.eps,
        )
        return x.permute(0, 3, 1, 2)


class StdLayerNorm(nn.Module):
    """Divide by (unbiased std + eps), as the authors' injectors do.

    Args:
        embed_dims: Width C.
        eps: Added to the standard deviation, not to the variance.
    """

    def __init__(self, embed_dims: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(embed_dims))
        self.bias = nn.Parameter(torch.zeros(embed_dims))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (..., C) over its last axis, in float32 or better."""
        if x.element_size() < 4:
            x = x.float()
        shifted = x - x.mean(dim=-1, keepdim=True)
        # The root has no gradient at zero, where constant tokens are; far
        # below eps, the floor changes nothing.
        variance = x.var(dim=-1, keepdim=True).clamp_min(self.eps**4)
        return self.weight * shifted / (variance.sqrt() + self.eps) + self.bias
