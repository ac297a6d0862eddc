"""Fetch files from URLs: in bounded time and size, whole or not at all.

Nothing here needs torch.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from mmdit.version import __version__

#: Seconds without a single byte after which a server is given up.
TIMEOUT = 30.0
CHUNK = 1 << 20
# Some servers reject Python's own.
_AGENT = f'mmdit/{__version__}'
# Reserved in URLs, and % of what is quoted already.
_SAFE = "!#$%&'()*+,/:;=?@[]~"
_LFS = b'version https://git-lfs.github.com/spec/'
_HTML = (b'<!doctype html', b'<html', b'<?xml')


def is_url(location: str) -> bool:
    """Tell whether a location is the URL of a web server."""
    return location[:8].lower().startswith(('http://', 'https://'))


def read_url(
    url: str, max_bytes: int, timeout: float = TIMEOUT, deadline: float = 300
) -> bytes:
    """Return the content of a URL.

    Args:
        url: Of a web server; may hold characters beyond ASCII.
        max_bytes: The largest content to accept.
        timeout: Seconds to wait for the next bytes.
        deadline: Seconds that the whole may take.

    Raises:
        OSError: It cannot be fetched completely, in one sentence.
    """
    end = time.monotonic() + deadline
    content = bytearray()
    with _open(url, timeout) as (size, chunks):
        _check_limit(size or 0, max_bytes)
        for chunk in chunks:
            content += chunk
            _check_limit(len(content), max_bytes)
            if time.monotonic() > end:
                raise TimeoutError(f'not complete after {deadline:g} seconds')
    return bytes(content)


def download(
    url: str,
    path: Path,
    timeout: float = TIMEOUT,
    on_progress: Callable[[int, int | None], object] = lambda done, size: None,
) -> None:
    """Write the content of a URL to a file, which appears when it is whole.

    Args:
        url: Of a web server; may hold characters beyond ASCII.
        path: The file; its folder is made where it does not exist.
        timeout: Seconds to wait for the next bytes.
        on_progress: Called with the bytes that are there, and those of the
            whole or None.

    Raises:
        OSError: It cannot be fetched completely, in one sentence.
        ValueError: It is a web page or a pointer instead of a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes and threads that fetch the same do not write into one file.
    part = path.with_name(f'.{path.name}.{os.getpid()}-{time.time_ns()}.part')
    try:
        with _open(url, timeout) as (size, chunks), part.open('wb') as file:
            for chunk in chunks:
                file.write(chunk)
                on_progress(file.tell(), size)
            file.flush()
            os.fsync(file.fileno())
        check_content(url, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_content(name: str, path: Path) -> None:
    """Reject a file that stands for another one.

    Args:
        name: What the error calls it.
        path: The file.

    Raises:
        ValueError: It is a web page, or a pointer of git-LFS.
    """
    with path.open('rb') as file:
        start = file.read(200)
    if start.startswith(_LFS):
        raise ValueError(
            f'{name} cannot be read: it is a pointer of git-LFS, not the file '
            'itself; run git lfs pull in its repository, or give the address '
            'of its download'
        )
    if start.lstrip(b'\xef\xbb\xbf \t\r\n').lower().startswith(_HTML):
        raise ValueError(
            f'{name} cannot be read: it is a web page, not the file itself; '
            'give the address of its download, which may ask for a login'
        )


@contextmanager
def _open(
    url: str, timeout: float
) -> Iterator[tuple[int | None, Iterator[bytes]]]:
    """Open a URL; give its size, where it is told, and its chunks.

    Whatever fails within becomes an OSError that names the URL.
    """
    try:
        request = Request(_quoted(url), headers={'User-Agent': _AGENT})
        with urlopen(request, timeout=timeout) as answer:
            told = answer.headers.get('Content-Length')
            size = int(told) if told else None
            yield size, _chunks(answer, size)
    # Sockets and servers raise OSErrors, broken answers HTTPExceptions, and
    # broken URLs ValueErrors.
    except (OSError, HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise OSError(f'{url} cannot be fetched: {reason}') from error


def _chunks(answer: HTTPResponse, size: int | None) -> Iterator[bytes]:
    """Yield what arrives; less than was told is an error."""
    done = 0
    # read1 returns what is there, so that slow servers meet a deadline.
    while chunk := answer.read1(CHUNK):
        done += len(chunk)
        yield chunk
    if size is not None and done != size:
        raise ConnectionError(
            f'the connection ended after {done} of {size} bytes; try again'
        )


def _check_limit(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise OSError(
            f'it has more than {max_bytes / 1e6:g} MB, the largest that is '
            'read'
        )


def _quoted(url: str) -> str:
    """Spell a URL in ASCII; files of this machine have none."""
    if not is_url(url):
        raise ValueError('a URL starts with http:// or https://')
    parts = urlsplit(url)
    host = parts.netloc
    if not host.isascii():
        user, at, place = host.rpartition('@')
        name, colon, port = place.partition(':')
        host = user + at + name.encode('idna').decode() + colon + port
    rest = (quote(part, safe=_SAFE) for part in parts[2:4])
    return urlunsplit((parts.scheme, host, *rest, ''))


__all__ = ['check_content', 'download', 'is_url', 'read_url']
