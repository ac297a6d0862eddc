"""What is where on the page."""

from dataclasses import dataclass
from html import escape

import gradio as gr

from .scenes import Example

TITLE = '# mmdit\nSay what you mean, and see where it is.'
UNTRAINED = (
    'This model was not trained with points: they change its masks, but may '
    'not correct them.'
)


@dataclass
class Points:
    """What corrects the selected answer."""

    label: gr.Radio
    undo: gr.Button
    clear: gr.Button
    x: gr.Number
    y: gr.Number
    add: gr.Button


@dataclass
class Download:
    """A button that makes a file, and the hidden address of the file."""

    button: gr.Button
    address: gr.Textbox


@dataclass
class Parts:
    """What a visitor sees and uses, in the order of the keyboard."""

    picture: gr.Image
    gallery: gr.Gallery
    text: gr.Textbox
    find: gr.Button
    #: Holds all that follows; hidden as long as there are no answers.
    results: gr.Column
    legend: gr.Radio
    threshold: gr.Slider
    points: Points
    masks: Download
    coco: Download


def lay_out(
    examples: list[Example], threshold: float, about: str, trains_points: bool
) -> Parts:
    """Put everything onto the page that is being made.

    Args:
        examples: Pictures to begin with.
        threshold: The model's own.
        about: Which model it is.
        trains_points: Whether it was trained with points.
    """
    gr.Markdown(TITLE, elem_id='title')
    with gr.Row(elem_id='main'):
        with gr.Column(scale=7, min_width=300):
            picture = _add_picture()
            gr.Markdown('Or begin with a drawn scene:', elem_id='or')
            gallery = _add_gallery(examples)
        with gr.Column(scale=4, min_width=300):
            text = gr.Textbox(
                label='What to look for, one per line',
                placeholder='the red star\nthe square on the left',
                lines=3,
                max_lines=10,
                elem_id='expressions',
            )
            find = gr.Button('Find', variant='primary', elem_id='find')
            with gr.Column(visible=False, elem_id='results') as results:
                legend = gr.Radio(
                    [],
                    label='Found, with scores',
                    interactive=True,
                    elem_id='legend',
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
                points = _add_points()
                if not trains_points:
                    gr.Markdown(UNTRAINED, elem_id='untrained')
                with gr.Row(elem_id='downloads'):
                    masks = _add_download('masks', 'Masks as PNG')
                    coco = _add_download('coco', 'Masks as COCO')
    gr.Markdown(f'Model: {escape(about)}', elem_id='about')
    return Parts(
        picture,
        gallery,
        text,
        find,
        results,
        legend,
        slider,
        points,
        masks,
        coco,
    )


def lay_out_explanation(sentences: str) -> None:
    """Put words onto the page that is being made, instead of a model."""
    gr.Markdown(TITLE, elem_id='title')
    gr.Markdown(sentences, elem_id='explanation')


def _add_picture() -> gr.Image:
    return gr.Image(
        label='Picture',
        show_label=False,
        format='jpeg',
        sources=['upload'],
        buttons=['fullscreen'],
        height=520,
        elem_id='picture',
        alt_text='The picture and its masks',
        placeholder='Drop a picture here, or press to choose one',
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


def _add_points() -> Points:
    with gr.Group(elem_id='points'):
        label = gr.Radio(
            [('inside', 1), ('outside', 0)],
            value=1,
            label='To correct the selected one, a click is',
            elem_id='label',
        )
        with gr.Row():
            undo = gr.Button('Undo point', size='sm', elem_id='undo')
            clear = gr.Button('Clear points', size='sm', elem_id='clear')
        with gr.Accordion('A point by numbers', open=False), gr.Row():
            x = gr.Number(label='x, from the left', minimum=0, min_width=80)
            y = gr.Number(label='y, from the top', minimum=0, min_width=80)
            add = gr.Button('Add point', size='sm', min_width=80)
    return Points(label, undo, clear, x, y, add)


def _add_download(name: str, title: str) -> Download:
    button = gr.Button(title, size='sm', elem_id=f'save-{name}')
    return Download(button, gr.Textbox(visible=False))


__all__ = ['Download', 'Parts', 'Points', 'lay_out', 'lay_out_explanation']
