"""What PyTorch's versions need not keep, and whether this one has it."""

import torch

# By name: a namespace, an operator or function of it, and its overload.
_OPERATORS = dict(
    linear_pointwise=(torch.ops.mkldnn, '_linear_pointwise', 'default'),
    gelu_backward=(torch.ops.aten, 'gelu_backward', 'grad_input'),
    softmax_backward=(torch, '_softmax_backward_data', ''),
)


def _has(place: object, name: str, overload: str) -> bool:
    found = getattr(place, name, None)
    return found is not None and (not overload or hasattr(found, overload))


#: The operators that are there; without one its caller takes the plain way.
PRIVATE = frozenset(name for name, at in _OPERATORS.items() if _has(*at))
