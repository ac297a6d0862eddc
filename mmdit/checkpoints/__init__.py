"""Foreign checkpoints: one rename table per source, loaded strictly."""

from .pretrained import SAMPretrained

__all__ = ['SAMPretrained']
