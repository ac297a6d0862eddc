"""Foreign checkpoints: one rename table per source, loaded strictly."""

from .sam import SAMPretrained

__all__ = ['SAMPretrained']
