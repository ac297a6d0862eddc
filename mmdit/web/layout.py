"""What is where on the page."""

from dataclasses import dataclass
from html import escape

import gradio as gr

from .scenes import Example

TITLE = '# mmdit\nSegment objects in an image by text.'
TITLE_SHOWN = '# mmdit\nSegment objects in an image by points and boxes.'
HINT = (
    'Click on an object, or drag a box around it. Further clicks and boxes '
    'refine the object that is selected below.'
)
UNTRAINED = (
    'This model was not trained with points: they change its masks, but may '
    'not improve them.'
)


@dataclass
class Points:
    """What begins or refines the selected prediction."""

    label: gr.Radio
    undo: gr.Button
    clear: gr.Button
    #: None where a model needs words.
    new: gr.Button | None
    x: gr.Number
    y: gr.Number
    add: gr.Button
    #: Left, top, right, bottom.
    sides: list[gr.Number]
    set_box: gr.Button
    #: The box that was dragged, of drag.js.
    dragged: gr.Textbox


@dataclass
class Download:
    """A button that makes a file, and the hidden address of the file."""

    button: gr.Button
    address: gr.Textbox


@dataclass
class Parts:
    """What a visitor sees and uses, in the order of the keyboard."""

    canvas: gr.Image
    gallery: gr.Gallery
    #: None, like the next, where the model reads none.
    text: gr.Textbox | None
    find: gr.Button | None
    #: Holds all that follows; hidden as long as there are no predictions.
    results: gr.Column
    legend: gr.Radio
    #: Which of the head's masks it is.
    candidates: gr.Radio
    threshold: gr.Slider
    points: Points
    masks: Download
    coco: Download


@dataclass
class Abilities:
    """What a model takes, and so what the page shows."""

    reads_text: bool
    #: Whether points and boxes suffice, without text.
    begins_by_prompts: bool
    #: Whether it was trained with points.
    trains_points: bool


def lay_out(
    examples: list[Example], threshold: float, about: str, can: Abilities
) -> Parts:
    """Put everything onto the page that is being made.

    Args:
        examples: Images to begin with.
        threshold: The model's own.
        about: Which model it is.
        can: What the model takes.
    """
    gr.Markdown(TITLE if can.reads_text else TITLE_SHOWN, elem_id='title')
    with gr.Row(elem_id='main'):
        with gr.Column(scale=7, min_width=300):
            canvas = _add_canvas()
            gr.Markdown('Or begin with a drawn scene:', elem_id='or')
            gallery = _add_gallery(examples)
        with gr.Column(scale=4, min_width=300):
            text = _add_text() if can.reads_text else None
            find = None
            if can.reads_text:
                find = gr.Button('Find', variant='primary', elem_id='find')
            if can.begins_by_prompts:
                gr.Markdown(HINT, elem_id='hint')
            # Without words, a click's label comes before the first prediction.
            points = None if can.reads_text else _add_points(can)
            with gr.Column(visible=False, elem_id='results') as results:
                legend, candidates, slider = _add_legend(threshold)
                points = points or _add_points(can)
                if can.reads_text and not can.trains_points:
                    gr.Markdown(UNTRAINED, elem_id='untrained')
                with gr.Row(elem_id='downloads'):
                    masks = _add_download('masks', 'Masks as PNG')
                    coco = _add_download('coco', 'Masks as COCO')
    gr.Markdown(f'Model: {escape(about)}', elem_id='about')
    return Parts(
        canvas,
        gallery,
        text,
        find,
        results,
        legend,
        candidates,
        slider,
        points,
        masks,
        coco,
    )


def lay_out_explanation(sentences: str) -> None:
    """Put words onto the page that is being made, instead of a model."""
    gr.Markdown(TITLE, elem_id='title')
    gr.Markdown(sentences, elem_id='explanation')


def _add_canvas() -> gr.Image:
    return gr.Image(
        label='Image',
        show_label=False,
        format='jpeg',
        sources=['upload'],
        buttons=['fullscreen'],
        height=520,
        elem_id='canvas',
        alt_text='The image and its masks',
        placeholder='Drop an image here, or press to choose one',
    )


def _add_gallery(examples: list[Example]) -> gr.Gallery:
    return gr.Gallery(
        [example.pixels for example in examples],
        show_label=False,
        columns=len(examples),
        height='auto',
        object_fit='cover',
        format='jpeg',
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id='examples',
    )


def _add_text() -> gr.Textbox:
    return gr.Textbox(
        label='Expressions, one per line',
        placeholder='the red star\nthe square on the left',
        lines=3,
        max_lines=10,
        elem_id='expressions',
    )


def _add_legend(threshold: float) -> tuple[gr.Radio, gr.Radio, gr.Slider]:
    legend = gr.Radio(
        [],
        label='Predictions, with scores',
        interactive=True,
        elem_id='legend',
    )
    candidates = gr.Radio(
        [],
        label='Masks of the selected object, with predicted IoU',
        interactive=True,
        visible=False,
        elem_id='candidates',
    )
    slider = gr.Slider(
        0.01,
        0.99,
        threshold,
        step=0.01,
        label='Threshold: lower, larger masks',
        buttons=['reset'],
        elem_id='threshold',
    )
    return legend, candidates, slider


def _add_points(can: Abilities) -> Points:
    new = None
    with gr.Group(elem_id='points'):
        label = gr.Radio(
            [('inside', 1), ('outside', 0)],
            value=1,
            label='Drag a box, or click, to refine the mask; a click is'
            if can.reads_text
            else 'A click is',
            elem_id='label',
        )
        with gr.Row():
            if can.begins_by_prompts:
                new = gr.Button(
                    'New object', size='sm', min_width=80, elem_id='new'
                )
            undo = gr.Button('Undo', size='sm', min_width=80, elem_id='undo')
            clear = gr.Button(
                'Clear', size='sm', min_width=80, elem_id='clear'
            )
        with gr.Accordion('A point or box by numbers', open=False):
            with gr.Row():
                x = _add_number('x, from the left')
                y = _add_number('y, from the top')
                add = gr.Button('Add point', size='sm', min_width=80)
            with gr.Row():
                sides = [
                    _add_number(side)
                    for side in ('left', 'top', 'right', 'bottom')
                ]
                set_box = gr.Button('Set box', size='sm', min_width=80)
        dragged = gr.Textbox(visible='hidden', elem_id='dragged')
    return Points(label, undo, clear, new, x, y, add, sides, set_box, dragged)


def _add_number(label: str) -> gr.Number:
    return gr.Number(label=label, minimum=0, min_width=80)


def _add_download(name: str, title: str) -> Download:
    button = gr.Button(title, size='sm', elem_id=f'save-{name}')
    return Download(button, gr.Textbox(visible=False))
