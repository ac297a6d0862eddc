"""Injectors: what the text tokens of each encoder block are made of."""

from .base import TextInjector
from .end_to_end import EndToEndProjection
from .layerwise import LayerwiseProjection

__all__ = ['EndToEndProjection', 'LayerwiseProjection', 'TextInjector']
