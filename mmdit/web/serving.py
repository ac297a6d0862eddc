"""Serve a page, to this machine alone unless told otherwise."""

from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STYLE = Path(__file__).parent / 'style.css'
MAX_FILE = '64mb'
# Each keeps little but a key here; see SessionStore for what is large.
MAX_SESSIONS = 1000
# The browser itself refuses whatever would leave this host.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "object-src 'none'; frame-ancestors 'self'"
)


class ContentPolicy:
    """Add a Content-Security-Policy to every answer.

    Args:
        app: Whose answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request."""

        async def send_with_policy(message: Message) -> None:
            if message['type'] == 'http.response.start':
                policy = (b'content-security-policy', POLICY.encode())
                message['headers'] = [*message['headers'], policy]
            await send(message)

        await self.app(scope, receive, send_with_policy)


def serve(page: gr.Blocks, **options: Any) -> str:
    """Serve a page.

    Args:
        page: What to serve.
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
    _, address, _ = page.launch(
        theme=theme,
        css_paths=STYLE,
        footer_links=[],
        ssr_mode=False,
        max_file_size=MAX_FILE,
        state_session_capacity=MAX_SESSIONS,
        app_kwargs=dict(middleware=[Middleware(ContentPolicy)]),
        **options,
    )
    return address


__all__ = ['serve']
