"""Data sets of one's own: JSON-lines files, one row per expression.

``rows`` reads the file, ``dataset`` serves it, ``check`` and ``images`` look
for everything that training could stop at.
"""

from .check import KINDS, JSONLReport, check_jsonl
from .dataset import ReferJSONLDataset
from .rows import Row, read_rows

__all__ = [
    'KINDS',
    'JSONLReport',
    'ReferJSONLDataset',
    'Row',
    'check_jsonl',
    'read_rows',
]
