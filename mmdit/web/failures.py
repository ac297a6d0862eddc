"""Failures that nobody foresaw: a sentence for the visitor, all for a log."""

import logging
from secrets import randbelow

LOGGER = logging.getLogger('mmdit.web')


def report(error: BaseException) -> str:
    """Log an error with its traceback; return a sentence with its number."""
    number = f'{randbelow(10**8):08d}'
    LOGGER.error('error %s', number, exc_info=error)
    return (
        f'Something went wrong (error {number}); the log of the page has the '
        'details under this number.'
    )
