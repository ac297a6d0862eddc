"""Data sets of expressions with the mask of what each refers to."""

from .refcoco import RefCOCODataset
from .seeding import seed_worker

__all__ = ['RefCOCODataset', 'seed_worker']
