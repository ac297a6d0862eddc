"""Injectors: what the text tokens of each encoder block are made of."""

from .base import TextInjector
from .building import build_injector
from .cross_attention import (
    LayerwiseCrossAttention,
    LayerwiseCrossAttentionFFN,
)
from .end_to_end import EndToEndProjection, EndToEndToken
from .layerwise import LayerwiseProjection, LayerwiseToken

__all__ = [
    'EndToEndProjection',
    'EndToEndToken',
    'LayerwiseCrossAttention',
    'LayerwiseCrossAttentionFFN',
    'LayerwiseProjection',
    'LayerwiseToken',
    'TextInjector',
    'build_injector',
]
