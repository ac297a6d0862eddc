"""Uploads into the folder of the run, within quotas."""

import asyncio
from collections import defaultdict
from pathlib import Path
from time import monotonic

from gradio.route_utils import MultiPartException, upload_fn
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from .failures import report
from .folder import RunFolder

MAX_FILE = 64 << 20
MAX_BODY = MAX_FILE + (1 << 16)  # with the headers of its part
MAX_FOLDER = 1 << 30
# Of one address within a window.
MAX_RECENT, WINDOW = 512 << 20, 600  # bytes, seconds
MAX_SECONDS = 300
# What Gradio raises at bodies that are no uploads, or not of one file.
BAD_UPLOADS = ClientDisconnect, HTTPException, MultiPartException, ValueError


class Uploads:
    """Take one file at a time from a visitor.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._running: dict[Path, int] = {}
        self._recent: dict[str, list[tuple[float, int]]] = defaultdict(list)

    async def take(self, request: Request) -> Response:
        """Write the file of a request; respond with its path in a list."""
        length = request.headers.get('content-length', '')
        if not length.isdecimal():
            return _say('An upload must say its length.', 411)
        if len(length) > 12 or int(length) > MAX_BODY:
            return _say(f'A file may have {MAX_FILE >> 20} MB at most.', 413)
        address = request.client.host if request.client else ''
        if not self._has_room(address, int(length)):
            return _say('Too much was uploaded: try again in a while.', 429)
        place = self.folder.new()
        self._running[place] = int(length)
        self._recent[address].append((monotonic(), int(length)))
        try:
            (path,), *_ = await asyncio.wait_for(
                upload_fn(request, str(place), MAX_FILE, None), MAX_SECONDS
            )
            return JSONResponse([str(path)])
        except BaseException as error:
            self.folder.remove(place)
            return _explain(error)
        finally:
            del self._running[place]

    def _has_room(self, address: str, length: int) -> bool:
        """Say whether the quotas of the folder and of an address suffice."""
        begin = monotonic() - WINDOW
        for key, entries in list(self._recent.items()):
            self._recent[key] = [e for e in entries if e[0] > begin]
            if not self._recent[key]:
                del self._recent[key]
        recent = sum(size for _, size in self._recent.get(address, ()))
        held = self.folder.num_bytes() + sum(self._running.values())
        return recent + length <= MAX_RECENT and held + length <= MAX_FOLDER


def _explain(error: BaseException) -> Response:
    """Answer an upload that failed."""
    if isinstance(error, asyncio.TimeoutError):
        return _say('The upload took too long.', 408)
    if isinstance(error, BAD_UPLOADS):
        return _say('This is not an upload of one file.', 400)
    if not isinstance(error, Exception):
        raise error
    return _say(report(error), 500)


def _say(sentence: str, status: int) -> Response:
    return PlainTextResponse(sentence, status)
