"""A linear layer that a CPU computes faster than torch's own."""

from torch import Tensor, nn

from mmdit.models.ops import fast_linear, fast_mlp


class Linear(nn.Linear):
    """``nn.Linear`` with an optional GELU behind it."""

    def forward(self, x: Tensor, gelu: bool = False) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return fast_linear(x, self.weight, self.bias, gelu)


def mlp(x: Tensor, first: Linear, second: Linear) -> Tensor:
    """Map (..., C) to (..., C) by two layers around a GELU."""
    return fast_mlp(x, first.weight, first.bias, second.weight, second.bias)
