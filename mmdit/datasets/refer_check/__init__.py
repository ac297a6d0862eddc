"""Checks of an installation of RefCOCO and its relatives.

No check stops at the first finding: a ``SetReport`` holds every case of every
kind of problem, so that one run says all there is to repair. ``check`` leads,
``refs`` and ``files`` look, ``report`` judges by the public ``counts``.
"""

from .check import IMAGE_FOLDERS, Leak, check_set, find_leaks, find_sets
from .counts import PUBLIC_COUNTS, Counts
from .report import KINDS, SetReport

__all__ = [
    'IMAGE_FOLDERS',
    'KINDS',
    'PUBLIC_COUNTS',
    'Counts',
    'Leak',
    'SetReport',
    'check_set',
    'find_leaks',
    'find_sets',
]
