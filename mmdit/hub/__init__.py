"""Models as folders that can be moved, shared and loaded without risk."""

from .folder import from_pretrained, save_pretrained
from .sharing import download, push_to_hub

__all__ = ['download', 'from_pretrained', 'push_to_hub', 'save_pretrained']
