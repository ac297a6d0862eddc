"""Notices of other packages that tell a user of mmdit nothing, left out.

Each is named, so that every other warning is shown.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Of mmcv, on importing mmseg.models: about an operator that nothing here
# uses, in two wordings; of mmseg's cross entropy: about ignored pixels, which
# masks of 0 and 1 do not have.
WARNINGS = (
    r'Fail to import ``MultiScaleDeformableAttention``',
    r'``MultiScaleDeformableAttention`` has been moved',
    r'Default ``avg_non_ignore`` is False',
)


def ignore_warnings() -> None:
    """Filter what is known to be of no use."""
    for start in WARNINGS:
        warnings.filterwarnings('ignore', start)


@contextmanager
def without_lines(logger: logging.Logger, part: str) -> Iterator[None]:
    """Keep lines that hold ``part`` out of a log for a while."""

    def keep(record: logging.LogRecord) -> bool:
        return part not in record.getMessage()

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
