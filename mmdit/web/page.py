"""The page: its layout, and what happens when a visitor does something."""

from typing import TYPE_CHECKING, Any

import gradio as gr

from .failures import report
from .folder import RunFolder
from .handlers import Handlers, sentence
from .layout import Abilities, Parts, lay_out, lay_out_explanation
from .scenes import draw_examples
from .session import prompts_suffice
from .store import HOUR, SessionStore

if TYPE_CHECKING:
    from mmdit.apis import ReferringSegInferencer

# Visitors who wait beyond these are told so.
MAX_WAITING = 200
# One query at a time: two at once would take twice the memory.
ONE_AT_A_TIME = dict(concurrency_limit=1, concurrency_id='model')
# No handler has a name that programs call; the page knows them by numbers.
PRIVATE: dict[str, Any] = dict(api_visibility='private')
DOWNLOAD = """address => {
    const link = document.createElement('a');
    link.href = address;
    link.download = '';
    link.click();
}"""


class Page(gr.Blocks):
    """A page whose failures are sentences, also Gradio's own."""

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Handle an event."""
        try:
            return await super().process_api(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            raise sentence(report(error)) from None


def build_page(
    model: 'ReferringSegInferencer',
    about: str,
    store: SessionStore,
    folder: RunFolder,
) -> gr.Blocks:
    """Return the page of a model.

    Args:
        model: What predicts.
        about: What the page says about the model.
        store: Where the sessions of all visitors are kept.
        folder: Where their files are.
    """
    examples = draw_examples()
    can = Abilities(
        model.model.text_encoder is not None,
        prompts_suffice(model),
        bool(model.model.train_points),
    )
    with _blocks() as page:
        parts = lay_out(examples, model.threshold, about, can)
        # The state is a key, so that the store alone bounds the memory. No
        # bound method: Gradio copies it, with the store, for each visitor.
        key = gr.State(
            None,
            time_to_live=HOUR,
            delete_callback=lambda key: store.drop(key),  # noqa: PLW0108
        )
        _connect(Handlers(model, store, folder, examples), parts, key)
    return page.queue(max_size=MAX_WAITING, api_open=False)


def explain(sentences: str) -> gr.Blocks:
    """Return a page that says why there is no model, and what to do."""
    with _blocks() as page:
        lay_out_explanation(sentences)
    return page


def _blocks() -> gr.Blocks:
    return Page(title='mmdit', analytics_enabled=False)


def _connect(do: Handlers, parts: Parts, key: gr.State) -> None:
    """Say what happens when."""
    canvas, legend, points = parts.canvas, parts.legend, parts.points
    show: dict[str, Any] = dict(
        fn=do.show,
        inputs=[key, parts.threshold, legend],
        outputs=[canvas, legend, parts.candidates, parts.results],
        # Else Gradio would write the canvas into a file.
        postprocess=False,
        show_progress='hidden',
        **PRIVATE,
    )
    waits: dict[str, Any] = dict(
        show_progress='minimal', show_progress_on=canvas, **PRIVATE
    )
    runs: dict[str, Any] = waits | ONE_AT_A_TIME

    opened = canvas.upload(
        do.open, [canvas, key], key, preprocess=False, **waits
    )
    opened.success(**show)
    opened.failure(lambda: (None, None), None, [canvas, key], **PRIVATE)
    canvas.clear(do.close, key, key, **PRIVATE).then(**show)
    if parts.text is None or parts.find is None:
        parts.gallery.select(do.open_example, key, key, **waits).success(
            **show
        )
    else:
        query: dict[str, Any] = dict(
            fn=do.query, inputs=[key, parts.text], **runs
        )
        sampled = parts.gallery.select(
            do.open_example, key, [key, parts.text], **waits
        )
        sampled.success(**query).success(**show)
        gr.on([parts.find.click, parts.text.submit], **query).success(**show)
    parts.threshold.change(**show, trigger_mode='always_last')
    legend.input(**show)

    shown: list = [key, legend]
    clicks: dict[str, Any] = dict(trigger_mode='multiple', **runs)
    for happens, does, given in (
        (canvas.select, do.click, [points.label]),
        (points.add.click, do.type_point, [points.label, points.x, points.y]),
        (points.dragged.change, do.drag, [points.dragged]),
        (points.set_box.click, do.type_box, points.sides),
        (parts.candidates.input, do.choose, [parts.candidates]),
        (points.undo.click, do.undo, []),
        (points.clear.click, do.clear, []),
    ):
        happens(does, [*shown, *given], **clicks).success(**show)
    if points.new is not None:
        # With none selected, the next click or box begins another one.
        points.new.click(lambda: None, None, legend, **PRIVATE)

    for make, part in (
        (do.save_masks, parts.masks),
        (do.save_coco, parts.coco),
    ):
        part.button.click(
            make,
            [key, parts.threshold],
            part.address,
            show_progress='hidden',
            **PRIVATE,
        ).success(None, part.address, js=DOWNLOAD)
