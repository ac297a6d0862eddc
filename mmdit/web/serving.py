"""Serve a page, to this machine alone unless told otherwise."""

import ctypes
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from starlette.middleware import Middleware

from .folder import RunFolder
from .gate import Gate, Hosts
from .uploads import MAX_FILE, Uploads

STYLE = Path(__file__).parent / 'style.css'
DRAG = Path(__file__).parent / 'drag.js'
# Gradio keeps the last canvas of each; see SessionStore for what is large.
MAX_SESSIONS = 200
TRIM_INTERVAL = 10  # seconds


def serve(
    page: gr.Blocks,
    folder: RunFolder,
    host: str = '127.0.0.1',
    other_hosts: Iterable[str] = (),
    **options: Any,
) -> str:
    """Begin to serve a page.

    Args:
        page: What to serve.
        folder: Where uploads are kept, also of Gradio's own files.
        host: Address to listen at.
        other_hosts: Further host names that the page serves.
        options: Further arguments of ``gradio.Blocks.launch``.

    Returns:
        Its address.
    """
    theme = gr.themes.Base(
        primary_hue='slate',
        neutral_hue='slate',
        # Whatever the system has: none is fetched.
        font=['system-ui', 'sans-serif'],
        font_mono=['ui-monospace', 'monospace'],
        radius_size='md',
    )
    _keep_trimming()
    hosts = Hosts(host, other_hosts)
    gate = Middleware(Gate, hosts=hosts, uploads=Uploads(folder))
    _, address, public = page.launch(
        server_name=host,
        theme=theme,
        css_paths=STYLE,
        js=DRAG.read_text(),
        footer_links=[],
        ssr_mode=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
        max_file_size=MAX_FILE,
        state_session_capacity=MAX_SESSIONS,
        prevent_thread_lock=True,
        app_kwargs=dict(middleware=[gate]),
        **options,
    )
    if public:
        hosts.others.add(urlsplit(public).netloc.lower())
    return address


@cache
def _keep_trimming() -> None:
    """Return freed memory to the system from now on.

    Visitors' masks and images come and go in pieces of some megabytes. What
    one of them frees lies between those of others, where glibc keeps it: half
    a gigabyte of a page with 50 visitors.
    """

    def trim() -> None:
        # Other C libraries have no such function, nor this habit.
        with suppress(AttributeError, OSError, TypeError):
            malloc_trim = ctypes.CDLL(None).malloc_trim
            while True:
                time.sleep(TRIM_INTERVAL)
                malloc_trim(0)

    Thread(target=trim, name='trim', daemon=True).start()
