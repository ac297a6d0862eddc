"""Products with weights, and what follows them, on a CPU.

On a CPU with AVX-512 float32 goes through oneDNN, which adds the bias, and
without gradients the GELU, while the product is still in the cache;
``F.linear`` takes MKL's product and a pass over memory for each. The numbers
agree within rounding.
"""

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from .private import PRIVATE


def fast_linear(
    x: Tensor, weight: Tensor, bias: Tensor, gelu: bool = False
) -> Tensor:
    """Map (..., in_features) to (..., out_features), then apply a GELU."""
    if not by_hand(x):
        out = F.linear(x, weight, bias)
    elif torch.is_grad_enabled():
        out = _Linear.apply(x, weight, bias)
    else:
        return _product(x, weight, bias, gelu)
    return F.gelu(out) if gelu else out


def fast_mlp(
    x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
) -> Tensor:
    """Map (..., C) to (..., C) by two linear layers around a GELU."""
    if not torch.is_grad_enabled() or not by_hand(x):
        return fast_linear(
            fast_linear(x, weight1, bias1, gelu=True), weight2, bias2
        )
    return _MLP.apply(x, weight1, bias1, weight2, bias2)


def by_hand(x: Tensor) -> bool:
    """Tell whether this file computes, and nothing has to see how."""
    return (
        x.device.type == 'cpu'
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled('cpu')
        and not torch.compiler.is_compiling()
        # Counters of FLOPs and the like know torch's operators only.
        and not is_in_torch_dispatch_mode()
        and type(x) is Tensor
    )


@functools.cache
def has_fast_onednn() -> bool:
    """Tell whether oneDNN's products are faster than MKL's on this CPU.

    Measured: with AVX-512 they are; with AVX2 a forward pass is as fast, but
    the gradients of the weights take up to twice as long.
    """
    return (
        'linear_pointwise' in PRIVATE
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == 'AVX512'
    )


class _Linear(torch.autograd.Function):
    """The layer with its gradients, all of them by :func:`_product`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        ctx.save_for_backward(
            # As in torch: what no gradient needs is not kept.
            x if ctx.needs_input_grad[1] else None,
            weight if ctx.needs_input_grad[0] else None,
        )
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias."""
        x, weight = ctx.saved_tensors
        d_x = None if weight is None else _product(grad, weight.t())
        d_weight = None if x is None else _weight_gradient(grad, x)
        d_bias = (
            grad.flatten(0, -2).sum(0) if ctx.needs_input_grad[2] else None
        )
        return d_x, d_weight, d_bias


class _MLP(torch.autograd.Function):
    """Linear, GELU, linear; of what lies between, one tensor is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        """Map (..., C) to (..., C) by two weights and biases in turn."""
        weight1, bias1, weight2, bias2 = parameters
        hidden = _product(x, weight1, bias1)
        ctx.save_for_backward(
            x if ctx.needs_input_grad[1] else None, hidden, weight1, weight2
        )
        return _product(F.gelu(hidden), weight2, bias2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of all inputs."""
        x, hidden, weight1, weight2 = ctx.saved_tensors
        needed = ctx.needs_input_grad
        d_x = d_weight1 = d_bias1 = d_weight2 = d_bias2 = None
        if needed[3]:
            d_weight2 = _weight_gradient(grad, F.gelu(hidden))
        if needed[4]:
            d_bias2 = grad.flatten(0, -2).sum(0)
        if any(needed[:3]):
            d_hidden = _gelu_backward(_product(grad, weight2.t()), hidden)
            if needed[0]:
                d_x = _product(d_hidden, weight1.t())
            if needed[1]:
                d_weight1 = _weight_gradient(d_hidden, x)
            if needed[2]:
                d_bias1 = d_hidden.flatten(0, -2).sum(0)
        return d_x, d_weight1, d_bias1, d_weight2, d_bias2


def _gelu_backward(grad: Tensor, hidden: Tensor) -> Tensor:
    """Return the gradient before a GELU, in the memory of ``grad``."""
    if 'gelu_backward' not in PRIVATE:
        return torch.ops.aten.gelu_backward(grad, hidden)
    return torch.ops.aten.gelu_backward.grad_input(
        grad, hidden, grad_input=grad
    )


def _weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Return grad^T @ x over all rows, in the layout of the weight."""
    grad, x = grad.flatten(0, -2), x.flatten(0, -2)
    # oneDNN copies what it is given transposed, MKL need not.
    if grad.shape[1] > x.shape[1]:
        return grad.t() @ x
    return _product(grad.t(), x.t())


def _product(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, gelu: bool = False
) -> Tensor:
    """Return x @ weight^T + bias, or its GELU."""
    if not has_fast_onednn():
        out = F.linear(x, weight, bias)
        return torch.ops.aten.gelu_(out) if gelu else out
    return torch.ops.mkldnn._linear_pointwise(
        x, weight, bias, 'gelu' if gelu else 'none', [], 'none'
    )
