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

from mmdit.runtime.wording import hint_at_two, tell_unread

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
    """Show what a method rejects on the page, instead of a traceback."""

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
        model: What predicts.
        store: Where sessions are kept.
        folder: Where uploads are, and where downloads go.
        examples: Images to begin with.
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
            session = sessions.open_image(
                str(path), name[-MAX_NAME:], self.model.max_pixels
            )
        finally:
            self.folder.remove(path)
        return self.store.put(session)

    @in_sentences
    def open_example(self, key: str | None, event: gr.SelectData) -> Any:
        """Begin with a drawn scene; return key and, if read, expressions."""
        self.store.drop(key)
        example = self.examples[event.index]
        pixels = example.pixels[..., ::-1].copy()
        key = self.store.put(Session(f'scene{event.index + 1}.png', pixels))
        if self.model.model.text_encoder is None:
            return key
        return key, '\n'.join(example.expressions)

    def close(self, key: str | None) -> None:
        """Forget the image."""
        self.store.drop(key)

    @in_sentences
    def query(self, key: str | None, text: str) -> None:
        """Predict for expressions."""
        session = self.store.get(key)
        number = len(sessions.read_expressions(text))
        self.store.check_room(sessions.bytes_needed(session, number))
        self.store.put(sessions.query(session, text, self.model), key)

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
        self._change(key, sessions.add_point, selected, (x, y, label))

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
        self._change(key, sessions.add_point, selected, (x, y, label))

    @in_sentences
    def drag(
        self, key: str | None, selected: str | None, text: str | None
    ) -> None:
        """Set the box that was dragged on the canvas."""
        session = self.store.get(key)
        height, width = session.pixels.shape[:2]
        scale = canvas_scale((height, width))
        left, top, right, bottom = (n / scale for n in _read_box(text))
        # The last pixel of the canvas may end beyond the image.
        box = left, top, min(right, width), min(bottom, height)
        self._change(key, sessions.set_box, selected, box)

    @in_sentences
    def type_box(
        self, key: str | None, selected: str | None, *sides: float | None
    ) -> None:
        """Set a box by its sides."""
        if None in sides:
            raise ValueError(
                'A box needs four numbers, left, top, right and bottom, in '
                'pixels.'
            )
        self._change(key, sessions.set_box, selected, sides)

    @in_sentences
    def choose(
        self, key: str | None, selected: str | None, index: int | None
    ) -> None:
        """Take another one of the masks that the model offers."""
        place = -1 if index is None else index
        self._change(key, sessions.choose, selected, place)

    @in_sentences
    def undo(self, key: str | None, selected: str | None) -> None:
        """Take the last point or box back."""
        self._change(key, sessions.undo, selected)

    @in_sentences
    def clear(self, key: str | None, selected: str | None) -> None:
        """Take all points and the box back."""
        self._change(key, sessions.clear, selected)

    def _change(
        self, key: str | None, change: Callable[..., Session], *given: Any
    ) -> None:
        """Put what comes of a session in its place."""
        session = self.store.get(key)
        needed = sessions.bytes_needed(session, len(session.predictions) + 1)
        self.store.check_room(needed)
        self.store.put(change(session, *given, self.model), key)

    @in_sentences
    def show(
        self, key: str | None, threshold: float, selected: str | None
    ) -> tuple[Any, Any, Any, Any]:
        """Return canvas, legend, masks to choose from and what is below."""
        nothing = gr.Radio(choices=[], value=None)
        hidden = gr.Radio(visible=False), gr.Column(visible=False)
        if key is None:
            return None, nothing, *hidden
        session = self.store.get(key)
        predictions = session.predictions
        if not predictions:
            return _in_place(draw(session, threshold)), nothing, *hidden
        if selected not in {prediction.name for prediction in predictions}:
            # Points and boxes: the newest; expressions: the first.
            newest = predictions[-1].expression is None
            selected = predictions[-1 if newest else 0].name
        rows = sessions.predict(session, threshold)
        legend = gr.Radio(
            choices=[
                (_label(row, prediction), prediction.name)
                for row, prediction in zip(rows, predictions, strict=True)
            ],
            value=selected,
        )
        canvas = _in_place(draw(session, threshold, selected))
        prediction = predictions[session.find(selected)]
        candidates = gr.Radio(
            choices=[
                (f'{i + 1}: {score:.2f}', i)
                for i, score in enumerate(prediction.scores)
            ],
            value=prediction.chosen,
            visible=len(prediction.scores) > 1,
        )
        return canvas, legend, candidates, gr.Column(visible=True)

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


def _label(row: dict, prediction: sessions.Prediction) -> str:
    """Return a line of the legend."""
    found = 'nothing found' if row['box'] is None else f'{row["score"]:.2f}'
    number = len(prediction.points)
    inside = sum(label for *_, label in prediction.points)
    marks = [f'{inside}+'] * bool(inside)
    marks += [f'{number - inside}−'] * (number > inside)
    marks += ['box'] * (prediction.box is not None)
    notes = [tell_unread(row)]
    if prediction.expression and hint_at_two(prediction.expression):
        notes.append('read as one expression: give each its own line')
    return ' · '.join(filter(None, [prediction.name, found, *notes, *marks]))


def _read_box(text: object) -> list[float]:
    """Return the four numbers of drag.js, which anybody may send."""
    parts = text.split(',') if isinstance(text, str) else []
    try:
        sides = [float(part) for part in parts]
    except ValueError:
        sides = []
    if len(sides) != 4 or not np.isfinite(sides).all():
        raise ValueError('This is not a box: drag it again.')
    return sides


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
