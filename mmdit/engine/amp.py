"""Mixed precision: bfloat16 where the device has it, else float16."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mmdit.registry import OPTIM_WRAPPERS

from .command_line import AMP_DTYPES

_FLOAT32, _BFLOAT16, _FLOAT16 = (
    'OptimWrapper',
    'BFloat16OptimWrapper',
    'AmpOptimWrapper',
)


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Train with bfloat16 products and float32 weights, on a CPU or GPU.

    bfloat16 has the range of float32, so no loss scaling: MMEngine's
    ``AmpOptimWrapper`` scales whatever the dtype, which waits for the device
    in every step, and rejects a CPU. Arguments: MMEngine's ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run what is inside under autocast."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


def use_amp(cfg: Config, dtype: str | None = None) -> None:
    """Exchange the optimizer wrapper of a config for a mixed precision one.

    Args:
        cfg: The config, changed in place.
        dtype: ``'bfloat16'`` or ``'float16'``, which needs a GPU and scales
            the loss dynamically. None keeps what the config already has, and
            otherwise takes bfloat16 unless a GPU lacks it.
    """
    wrapper = cfg.optim_wrapper
    if wrapper.type not in (_FLOAT32, _BFLOAT16, _FLOAT16):
        raise ValueError(
            f'mixed precision needs optim_wrapper.type {_FLOAT32} in the '
            f'config, got {wrapper.type}'
        )
    if dtype is None:
        if wrapper.type != _FLOAT32:
            return
        dtype = _best_dtype()
    if dtype not in AMP_DTYPES:
        raise ValueError(
            f'unknown dtype {dtype!r} of mixed precision; known: '
            f'{", ".join(AMP_DTYPES)}'
        )
    if dtype == 'float16' and not torch.cuda.is_available():
        raise ValueError('float16 needs a GPU; on a CPU use bfloat16')
    if not torch.cuda.is_available() and not cpu_has_bfloat16():
        print_log(
            'This CPU has no instructions for bfloat16 (AVX-512): mixed '
            'precision will be many times slower than float32 here; leave '
            '--amp out, or take it on a GPU',
            logger='current',
            level=logging.WARNING,
        )
    wrapper.pop('dtype', None)
    if dtype == 'bfloat16':
        wrapper.type = _BFLOAT16
        wrapper.pop('loss_scale', None)
    else:
        wrapper.type = _FLOAT16
        wrapper.dtype = dtype
        wrapper.setdefault('loss_scale', 'dynamic')


def cpu_has_bfloat16() -> bool:
    """Tell whether this CPU multiplies bfloat16 with a fast kernel."""
    return (
        torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _best_dtype() -> str:
    """Return bfloat16 for a CPU, and for a GPU that has it in hardware."""
    if not torch.cuda.is_available():
        return 'bfloat16'
    # Older GPUs emulate it, slowly.
    has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    return 'bfloat16' if has_it else 'float16'
