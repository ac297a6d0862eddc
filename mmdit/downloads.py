"""Fetch files from URLs: in bounded time and size, whole or not at all.

Nothing here needs torch.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from mmdit.optional import needed_by
from mmdit.parts import Part, open_part
from mmdit.version import __version__

Progress = Callable[[int, int | None], None]
#: Seconds without a single byte after which a server is given up.
TIMEOUT = 30.0
CHUNK = 1 << 20
# Connections without a single byte after which a file is given up, seconds
# between them, and how many there may be in all.
TRIES, PAUSE, MAX_CONNECTIONS = 3, 1.0, 200
_NO_SUCH_PART = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
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
    with _open(url, timeout) as (_, size, chunks):
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
    on_progress: Progress = lambda done, size: None,
) -> None:
    """Write the content of a URL to a file, which appears when it is whole.

    Where the server tells versions of the file apart and sends parts of it, a
    broken connection is taken up again, and so is what an earlier call has
    left. Files of Google Drive are fetched by ``gdown``.

    Args:
        url: Of a web server; may hold characters beyond ASCII.
        path: The file; its folder is made where it does not exist.
        timeout: Seconds to wait for the next bytes.
        on_progress: Called with the bytes that are there, and those of the
            whole or None.

    Raises:
        ImportError: It is on Google Drive, and ``gdown`` is not installed.
        OSError: It cannot be fetched completely, in one sentence.
        ValueError: It is a web page or a pointer instead of a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fetch = _fetch_from_drive if _is_drive(url) else _fetch
    with open_part(path) as part:
        fetch(url, part, timeout, on_progress)
        part.file.flush()
        os.fsync(part.file.fileno())
        try:
            check_content(url, part.path)
        except ValueError:
            part.forget()
            raise
        os.replace(part.path, path)


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
            'give the address of its download, which may need a login'
        )


def _is_drive(url: str) -> bool:
    """Tell whether a file lies on Google Drive, behind a page of its own."""
    host = urlsplit(url).hostname if is_url(url) else None
    return host in ('drive.google.com', 'docs.google.com')


def _fetch_from_drive(
    url: str, part: Part, timeout: float, on_progress: Progress
) -> None:
    """Let ``gdown`` write a part, and go on where it was interrupted."""
    by_hand = ', or fetch the file with a browser and give its path'
    with needed_by(url, 'mmdit-seg[gdown]', by_hand):
        import gdown
    # Its own part has another name, and takes this one's place.
    output = part.path.with_name(f'{part.path.name}.gdown')
    try:
        gdown.download(
            url,
            str(output),
            quiet=True,
            use_cookies=False,
            resume=True,
            retries=TRIES,
            timeout=timeout,
            progress=on_progress,
        )
    # Of its own kinds, and of its HTTP library.
    except Exception as error:
        raise OSError(f'{url} cannot be fetched: {error}') from error
    os.replace(output, part.path)


def _fetch(
    url: str, part: Part, timeout: float, on_progress: Progress
) -> None:
    """Write a part, as long as each connection brings something."""
    lost = 0
    for _ in range(MAX_CONNECTIONS):
        before = part.size()
        try:
            return _append(url, part, timeout, on_progress)
        except OSError as error:
            if getattr(error.__cause__, 'code', 0) == _NO_SUCH_PART:
                part.begin(url, None)
            lost = 0 if part.size() > before else lost + 1
            # What was there may be of no use now; there was nothing before.
            if lost == TRIES or not (before or part.version(url)):
                raise
            time.sleep(PAUSE)
    raise OSError(f'{url} cannot be fetched: the connection breaks again')


def _append(
    url: str, part: Part, timeout: float, on_progress: Progress
) -> None:
    """Write what is missing of a part."""
    done, version = part.size(), part.version(url)
    headers = {}
    if done and version:
        headers = {'Range': f'bytes={done}-', 'If-Range': version}
    with _open(url, timeout, headers) as (response, size, chunks):
        found = response.headers.get('ETag') or response.headers.get(
            'Last-Modified'
        )
        start = f'bytes {done}-'
        goes_on = response.status == HTTPStatus.PARTIAL_CONTENT
        if goes_on and (
            found != version
            or not response.headers.get('Content-Range', '').startswith(start)
        ):
            part.begin(url, None)
            raise ConnectionError('the server sent another part; try again')
        if not goes_on:
            part.begin(url, None if size is None else found)
            done = 0
        whole = None if size is None else done + size
        for chunk in chunks:
            part.file.write(chunk)
            on_progress(part.file.tell(), whole)


@contextmanager
def _open(
    url: str, timeout: float, headers: dict[str, str] | None = None
) -> Iterator[tuple[HTTPResponse, int | None, Iterator[bytes]]]:
    """Open a URL; give the response, its size if known, and its chunks.

    Whatever fails within becomes an OSError that names the URL.
    """
    try:
        request = Request(
            _quoted(url), headers={'User-Agent': _AGENT, **(headers or {})}
        )
        with urlopen(request, timeout=timeout) as response:
            told = response.headers.get('Content-Length')
            size = int(told) if told else None
            yield response, size, _chunks(response, size)
    # Sockets and servers raise OSErrors, broken responses HTTPExceptions, and
    # broken URLs ValueErrors.
    except (OSError, HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise OSError(f'{url} cannot be fetched: {reason}') from error


def _chunks(response: HTTPResponse, size: int | None) -> Iterator[bytes]:
    """Yield what arrives; less than was told is an error."""
    done = 0
    # read1 returns what is there, so that slow servers meet a deadline.
    while chunk := response.read1(CHUNK):
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
