"""A linear layer that a CPU computes faster than torch's own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


class Linear(nn.Linear):
    """``nn.Linear`` with an optional GELU behind it.

    Without gradients, float32 on a CPU goes through oneDNN, which adds bias
    and GELU while the product is still in the cache; ``F.linear`` takes
    MKL's product and a pass over memory for each. The numbers agree within
    rounding. torch.compile's own code calls the same operator.
    """

    def forward(self, x: Tensor, gelu: bool = False) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        if not use_onednn(x):
            out = F.linear(x, self.weight, self.bias)
            return F.gelu(out) if gelu else out
        return torch.ops.mkldnn._linear_pointwise(
            x, self.weight, self.bias, 'gelu' if gelu else 'none', [], 'none'
        )


def use_onednn(x: Tensor) -> bool:
    """Tell whether oneDNN takes this input, and nothing has to see how."""
    return (
        x.device.type == 'cpu'
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled('cpu')
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
        # Counters of FLOPs and the like know torch's operators only.
        and not is_in_torch_dispatch_mode()
        and type(x) is Tensor
    )
