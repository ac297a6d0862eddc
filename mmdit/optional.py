"""Packages that only some features need."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needed_by(owner: str, package: str, or_else: str = '') -> Iterator[None]:
    """Name what is missing, and the command that installs it.

    Args:
        owner: Who imports inside of the ``with``.
        package: What ``pip install`` takes.
        or_else: How to do without, behind the command.

    Raises:
        ImportError: A package inside of the ``with`` is not there.
    """
    try:
        yield
    except ImportError as error:
        missing = repr(error.name) if error.name else str(error)
        raise ImportError(
            f'{owner} needs {missing}; run: pip install {package}{or_else}'
        ) from error
