"""Plain torch layers of the text-guided encoder."""

from .attention import JointAttention, attend, attention_backend
from .backends import BACKENDS
from .block import Block
from .norm import LayerNorm2d, StdLayerNorm
from .position import (
    TableCache,
    fit_tables,
    relative_table,
    resize_position,
    sine_cosine_table,
)
from .sharing import find_distinct, give_each
from .window import merge_windows, split_windows

__all__ = [
    'BACKENDS',
    'Block',
    'JointAttention',
    'LayerNorm2d',
    'StdLayerNorm',
    'TableCache',
    'attend',
    'attention_backend',
    'find_distinct',
    'fit_tables',
    'give_each',
    'merge_windows',
    'relative_table',
    'resize_position',
    'sine_cosine_table',
    'split_windows',
]
