"""Read files and URLs within bounds of size and time. No torch."""

from time import monotonic
from typing import Any
from urllib import request
from urllib.parse import quote, urlsplit

# Beyond this, masks and probabilities alone take gigabytes.
MAX_PIXELS = 64_000_000
# Files are read up to what four channels of 16 bits take, and some more.
BYTES_PER_PIXEL, HEADROOM = 8, 1 << 24
# Seconds: without any byte, and in all.
PAUSE, TOTAL = 20, 300
CHUNK = 1 << 18
# What a URL's path and query hold as they are.
_SAFE = "/?%:@!$&'()*+,;=~[]"


def read_limited(stream: Any, max_bytes: int) -> bytes:
    """Read all of a binary stream, which must end after ``max_bytes``."""
    chunks, size = [], 0
    while chunk := stream.read(CHUNK):
        if not isinstance(chunk, bytes):
            raise TypeError("it gives text; open the file with mode 'rb'")
        chunks.append(chunk)
        size += len(chunk)
        _check(size, max_bytes)
    return b''.join(chunks)


def read_url(url: str, max_bytes: int) -> bytes:
    """Read what is at an HTTP address.

    Args:
        url: It may hold spaces and letters beyond ASCII.
        max_bytes: The largest answer.

    Raises:
        OSError: It is not to be had, or is cut short.
        ValueError: It is too large, or no address.
    """
    # No files and no FTP, where a server might redirect to.
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    deadline = monotonic() + TOTAL
    content = bytearray()
    with opener.open(_ascii(url), timeout=PAUSE) as answer:
        while chunk := answer.read1(CHUNK):
            content += chunk
            _check(len(content), max_bytes)
            if monotonic() > deadline:
                raise TimeoutError(f'it takes more than {TOTAL} seconds')
        if answer.length:
            raise OSError(f'it ends {answer.length} bytes too early')
    return bytes(content)


def _ascii(url: str) -> str:
    """Spell a URL in the letters that HTTP knows."""
    parts = urlsplit(url.strip())
    host = parts.netloc.encode('idna').decode('ascii')
    return parts._replace(
        netloc=host,
        path=quote(parts.path, _SAFE),
        query=quote(parts.query, _SAFE),
        fragment='',
    ).geturl()


def _check(size: int, max_bytes: int) -> None:
    """Reject a file that never ends before it fills the memory."""
    if size > max_bytes:
        raise ValueError(
            f'it holds more than {max_bytes / 1e6:.0f} MB, and no image of '
            'the largest size (max_pixels) does'
        )


__all__ = [
    'BYTES_PER_PIXEL',
    'HEADROOM',
    'MAX_PIXELS',
    'read_limited',
    'read_url',
]
