"""mmdit: Deep Instruction Tuning for Segment Anything, as MM components."""

from mmdit.quiet import ignore_warnings
from mmdit.version import __version__

ignore_warnings()

__all__ = ['__version__']
