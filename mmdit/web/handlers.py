"""What the page does: one method for each thing that a visitor can do.

Methods take and return what Gradio's components hold. Errors become sentences
on the page.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import gradio as gr
import numpy as np

from mmdit.apis.wording import tell_unread

from . import session as sessions
from .canvas import canvas_scale, draw
from .exports import coco_json, masks_zip
from .folder import RunFolder
from .gate import API
from .scenes import Example
from .session import Session
from .store import SessionStore

if TYPE_CHECKING:
    from mmdit.apis import ReferringSegInferencer

JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]
MAX_NAME = 100  # characters of a file's name
_Method = TypeVar('_Method', bound=Callable[..., Any])


def in_sentences(method: _Method) -> _Method:
    """Show what a method refuses on the page, instead of a traceback."""

    @wraps(method)
    def explained(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except MemoryError as error:
            message = 'The machine has too little memory left for this.'
            raise sentence(message) from error
        except ValueError as error:
            raise sentence(str(error)) from error

    return explained  # type: ignore[return-value]


def sentence(message: str) -> gr.Error:
    """Return what the page shows of an error."""
    message = message[:1].upper() + message[1:]
    message += '' if message.endswith(('.', '!', '?')) else '.'
    return gr.Error(
        escape(message, quote=False),
        print_exception=False,
    )


class Handlers:
    """Between the page and the sessions.

    Args:
        model: Who answers.
        store: Where sessions are kept.
        folder: Where uploads are, and where downloads go.
        examples: Pictures to begin with.
    """

    def __init__(
        self,
        model: 'ReferringSegInferencer',
        store: SessionStore,
        folder: RunFolder,
        examples: list[Example],
    ) -> None:
        self.model = model
        self.store = store
        self.folder = folder
        self.examples = examples

    @in_sentences
    def open(self, file: dict | None, key: str | None) -> str:
        """Begin with an uploaded file; return the key of its session.

        Args:
            file: What the browser says: ``path``, ``orig_name``.
            key: Of the session before, which ends.
        """
        self.store.drop(key)
        said = file if isinstance(file, dict) else {}
        path = self.folder.find_upload(said.get('path'))
        if path is None:
            raise ValueError('No file arrived: drop it again.')
        name = re.split(r'[/\\]', said.get('orig_name', ''))[-1] or 'image'
        try:
            session = sessions.open_picture(
                str(path), name[-MAX_NAME:], self.model.max_pixels
            )
        finally:
            self.folder.remove(path)
        return self.store.put(session)

    @in_sentences
    def open_example(
        self, key: str | None, event: gr.SelectData
    ) -> tuple[str, str]:
        """Begin with a drawn scene; return key and expressions."""
        self.store.drop(key)
        example = self.examples[event.index]
        pixels = example.pixels[..., ::-1].copy()
        session = Session(f'scene{event.index + 1}.png', pixels)
        return self.store.put(session), '\n'.join(example.expressions)

    def close(self, key: str | None) -> None:
        """Forget the picture."""
        self.store.drop(key)

    @in_sentences
    def ask(self, key: str | None, text: str) -> None:
        """Answer expressions."""
        session = self.store.get(key)
        self.store.check_room(sessions.bytes_needed(session, text))
        self.store.put(sessions.ask(session, text, self.model), key)

    @in_sentences
    def click(
        self,
        key: str | None,
        selected: str | None,
        label: int,
        event: gr.SelectData,
    ) -> None:
        """Add a point where the canvas was clicked."""
        session = self.store.get(key)
        scale = canvas_scale(session.pixels.shape[:2])
        x, y = (place / scale for place in event.index)
        self._add(key, selected, (x, y, label))

    @in_sentences
    def type_point(
        self,
        key: str | None,
        selected: str | None,
        label: int,
        x: float | None,
        y: float | None,
    ) -> None:
        """Add a point by its coordinates."""
        if x is None or y is None:
            raise ValueError('A point needs two numbers, x and y, in pixels.')
        self._add(key, selected, (x, y, label))

    def _add(
        self, key: str | None, selected: str | None, point: sessions.Point
    ) -> None:
        session = self.store.get(key)
        session = sessions.add_point(session, selected, point, self.model)
        self.store.put(session, key)

    @in_sentences
    def undo(self, key: str | None, selected: str | None) -> None:
        """Take the last point back."""
        session = self.store.get(key)
        session = sessions.undo_point(session, selected, self.model)
        self.store.put(session, key)

    @in_sentences
    def clear_points(self, key: str | None, selected: str | None) -> None:
        """Take all points back."""
        session = self.store.get(key)
        session = sessions.clear_points(session, selected, self.model)
        self.store.put(session, key)

    @in_sentences
    def show(
        self, key: str | None, threshold: float, selected: str | None
    ) -> tuple[Any, Any, Any]:
        """Return canvas, legend and what is below; no model is asked."""
        nothing = gr.Radio(choices=[], value=None)
        if key is None:
            return None, nothing, gr.Column(visible=False)
        session = self.store.get(key)
        known = [answer.expression for answer in session.answers]
        if not known:
            canvas = _in_place(draw(session, threshold))
            return canvas, nothing, gr.Column(visible=False)
        if selected not in known:
            selected = known[0]
        rows = sessions.predict(session, threshold)
        legend = gr.Radio(
            choices=[
                (_label(row, answer.points), row['expression'])
                for row, answer in zip(rows, session.answers, strict=True)
            ],
            value=selected,
        )
        canvas = _in_place(draw(session, threshold, selected))
        return canvas, legend, gr.Column(visible=True)

    @in_sentences
    def save_masks(self, key: str | None, threshold: float) -> str:
        """Return the address of a ZIP."""
        place = self.folder.new()
        content = masks_zip(self.store.get(key), threshold, place)
        return _write(content, place / 'masks.zip')

    @in_sentences
    def save_coco(self, key: str | None, threshold: float) -> str:
        """Return the address of a COCO data set."""
        content = coco_json(self.store.get(key), threshold)
        return _write(content.encode(), self.folder.new() / 'masks_coco.json')


def _label(row: dict, points: tuple[sessions.Point, ...]) -> str:
    """Return a line of the legend."""
    found = 'nothing found' if row['box'] is None else f'{row["score"]:.2f}'
    inside = sum(label for *_, label in points)
    marks = [f'{inside}+'] * bool(inside)
    marks += [f'{len(points) - inside}−'] * (len(points) > inside)
    notes = filter(None, [tell_unread(row)])
    return ' · '.join([row['expression'], found, *notes, *marks])


def _in_place(canvas: np.ndarray) -> dict:
    """Return a canvas as the page shows it, without a file."""
    _, content = cv2.imencode('.jpg', canvas[..., ::-1], JPEG)
    return dict(
        url=f'data:image/jpeg;base64,{b64encode(content.tobytes()).decode()}'
    )


def _write(content: bytes, path: Path) -> str:
    """Write a file; return where the browser fetches it."""
    path.touch(0o600)
    path.write_bytes(content)
    return f'.{API}/file={path}'


__all__ = ['Handlers', 'in_sentences', 'sentence']
