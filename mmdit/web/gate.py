"""What a visitor may reach of Gradio's server: what the page needs.

Gradio has ninety routes, for clients, proxies, monitoring and more; the page
uses a dozen. It also serves every host name, and so whatever page in
the visitor's browser has let its own name point here.
"""

import asyncio
import re
from collections.abc import Iterable
from ipaddress import ip_address
from socket import gethostname
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .events import clean_event
from .failures import report
from .uploads import Uploads

API = '/gradio_api'
JOIN, UPLOAD, FILE = f'{API}/queue/join', f'{API}/upload', f'{API}/file='
ASSETS = (
    r'/(config|theme\.css|favicon\.ico|manifest\.json|(assets|static)/.+)?'
)
STREAMS = r'(app_id|startup-events|queue/data|heartbeat/[\w-]{1,64}|file=.+)'
READS = re.compile(f'{ASSETS}|{API}/{STREAMS}', re.ASCII | re.DOTALL)
MAX_EVENT, MAX_SECONDS = 1 << 17, 30  # bytes of an event, and its time
MAX_REQUESTS = 500  # at a time; an open page holds one or two
# The browser itself rejects whatever would leave this host.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)
HEADERS = {
    'content-security-policy': POLICY,
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
}


class Hosts:
    """The host names that the page serves.

    Args:
        host: The address to listen at.
        others: Further names, such as a reverse proxy's.
    """

    def __init__(self, host: str, others: Iterable[str] = ()) -> None:
        self.others = {name.lower() for name in others}
        self.names = {'localhost', '127.0.0.1', '::1', host.lower()}
        # An address cannot be pointed elsewhere, as a name can.
        self.any_address = _is_any(host)
        if self.any_address:
            own = gethostname().lower()
            self.names |= {own, f'{own}.local'}

    def know(self, netloc: str) -> bool:
        """Say whether a host, with or without a port, is the page's."""
        name = _host_name(netloc)
        if name in self.names | self.others:
            return True
        return self.any_address and _is_address(name)

    def match(self, origin: str, netloc: str) -> bool:
        """Say whether an origin is the page itself."""
        where = urlsplit(origin).netloc.lower() if origin.isascii() else ''
        return bool(where) and (
            where == netloc.lower() or _host_name(where) in self.others
        )


class Gate:
    """Let through what the page needs, and nothing else.

    Args:
        app: Gradio's.
        hosts: The host names that the page serves.
        uploads: What takes files.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, uploads: Uploads) -> None:
        self.app = app
        self.hosts = hosts
        self.uploads = uploads
        self._running = 0

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request."""
        if scope['type'] == 'lifespan':
            await self.app(scope, receive, send)
            return
        if scope['type'] != 'http':
            await send({'type': 'websocket.close'})
            return
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message['type'] == 'http.response.start':
                has_begun = True
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if scope['path'].startswith(API):
                    headers['cache-control'] = 'no-store'
            await send(message)

        self._running += 1
        try:
            await self._respond(scope, receive, send_with_headers)
        except ClientDisconnect:
            pass
        except Exception as error:
            sentence = report(error)
            if not has_begun:
                response = _reject(sentence, 500)
                await response(scope, receive, send_with_headers)
        finally:
            self._running -= 1

    async def _respond(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = Request(scope, receive)
        response = self._check(request)
        path = scope['path']
        if response is None and path == UPLOAD:
            response = await self.uploads.take(request)
        elif response is None and path == JOIN:
            try:
                body = await asyncio.wait_for(_read(request), MAX_SECONDS)
                receive = _replay(clean_event(body), receive)
            except ValueError as error:
                response = _reject(str(error), 400)
            except asyncio.TimeoutError:
                response = _reject('The event took too long.', 408)
        if response is not None:
            await response(scope, receive, send)
            return
        if path in ('/', '/config'):
            # Gradio would look for a saved state ("deep link").
            scope = {**scope, 'query_string': b''}
        await self.app(scope, receive, send)

    def _check(self, request: Request) -> Response | None:
        """Answer what is not let through."""
        headers, path = request.headers, request.scope['path']
        hosts = headers.getlist('host') + headers.getlist('x-forwarded-host')
        if not headers.get('host') or not all(map(self.hosts.know, hosts)):
            return _reject(
                'The page does not serve this host name; mmdit web '
                '--allow-host NAME lets it.',
                421,
            )
        origins = headers.getlist('origin')
        is_own = all(self.hosts.match(o, headers['host']) for o in origins)
        # A link from elsewhere may lead to the page, and to nothing else.
        site = headers.get('sec-fetch-site', 'none')
        if not is_own or (
            path.startswith(API) and site not in ('none', 'same-origin')
        ):
            return _reject('This request comes from another site.', 403)
        if self._running > MAX_REQUESTS:
            return _reject('Too many visitors: try again later.', 503)
        is_read = request.method in ('GET', 'HEAD') and READS.fullmatch(path)
        is_sent = request.method == 'POST' and path in (JOIN, UPLOAD)
        if not is_read and not is_sent:
            return _reject('There is nothing here.', 404)
        if path.startswith(FILE):
            name = path.removeprefix(FILE)
            if self.uploads.folder.find(name) is None:
                return _reject('There is nothing here.', 404)
        return None


def _reject(sentence: str, status: int) -> Response:
    """Answer what Gradio's client shows as an error."""
    return JSONResponse({'detail': sentence, 'error': sentence}, status)


async def _read(request: Request) -> bytes:
    """Return the body of an event."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_EVENT:
            raise ValueError('This is too long for an event of this page.')
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what receives a body, then whatever comes after it."""
    messages = [{'type': 'http.request', 'body': body, 'more_body': False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _host_name(netloc: str) -> str:
    """Return the name of a host without its port."""
    try:
        return urlsplit(f'//{netloc}').hostname or ''
    except ValueError:
        return ''


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_any(host: str) -> bool:
    """Say whether a host stands for all addresses of the machine."""
    return _is_address(host) and ip_address(host).is_unspecified
