"""mmdit: Deep Instruction Tuning for Segment Anything, as MM components."""

from mmdit.version import __version__

__all__ = ['__version__']
