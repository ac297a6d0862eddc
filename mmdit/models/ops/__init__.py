"""Hand-written CPU kernels, each with a plain way beside it.

Nothing outside of this folder calls an operator that PyTorch calls private;
``private.py`` names them. Each kernel is measured in ``benchmarks/README.md``.
"""

from .attention import chunked
from .products import fast_linear, fast_mlp

__all__ = ['chunked', 'fast_linear', 'fast_mlp']
