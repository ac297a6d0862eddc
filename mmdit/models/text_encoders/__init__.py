"""Text encoders."""

from .bert import BertTextEncoder
from .hf import HFTextEncoder

__all__ = ['BertTextEncoder', 'HFTextEncoder']
