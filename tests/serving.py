"""A server of this machine, for as long as a block of code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from threading import Thread

# Seconds between looks for the end; by default a test waits half a second.
POLL = 0.01


@contextmanager
def serve(handler: Callable) -> Iterator[str]:
    """Serve by a handler; give the address, ``http://127.0.0.1:PORT``."""
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=[POLL], daemon=True).start()
        try:
            yield f'http://127.0.0.1:{server.server_port}'
        finally:
            server.shutdown()
