"""Data sets of expressions with the mask of what each refers to."""

from .collate import one_storage_collate
from .grefcoco import GRefCOCODataset
from .joint import JointRefCOCODataset
from .jsonl import ReferJSONLDataset
from .refcoco import RefCOCODataset
from .seeding import seed_worker

__all__ = [
    'GRefCOCODataset',
    'JointRefCOCODataset',
    'RefCOCODataset',
    'ReferJSONLDataset',
    'one_storage_collate',
    'seed_worker',
]
