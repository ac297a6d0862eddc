"""Annotations of other tools as JSON lines.

One file per tool reads its ``Shape``s; ``rows`` makes rows of them all, which
it hands through the readers that training uses.
"""

from .rows import KINDS, Converted, convert

__all__ = ['KINDS', 'Converted', 'convert']
