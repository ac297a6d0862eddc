"""Memory that nobody uses any more, given back to the system."""

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8  # of glibc's malloc.h


def share_heaps() -> None:
    """Let all threads allocate from two heaps, before there are threads.

    glibc makes eight for each core, and each keeps what its threads once took:
    gigabytes, with visitors in forty threads. Other C libraries have no such
    call.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def give_back() -> None:
    """Return to the system what was freed."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


__all__ = ['give_back', 'share_heaps']
