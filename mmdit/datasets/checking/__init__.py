"""Checks of data sets: folders of the RefCOCO family, and JSON-lines files.

No check stops at the first finding: a ``Report`` holds every case of every
kind of problem, so that one run says all there is to repair. ``sets`` and
``lines`` lead, ``refs`` and ``items`` look, ``report`` judges, a set also by
the public ``counts``.
"""

from .counts import PUBLIC_COUNTS, Counts
from .lines import check_jsonl, shared_images
from .report import KINDS, LinesReport, Report, SetReport
from .sets import IMAGE_FOLDERS, Leak, check_set, find_leaks, find_sets

__all__ = [
    'IMAGE_FOLDERS',
    'KINDS',
    'PUBLIC_COUNTS',
    'Counts',
    'Leak',
    'LinesReport',
    'Report',
    'SetReport',
    'check_jsonl',
    'check_set',
    'find_leaks',
    'find_sets',
    'shared_images',
]
