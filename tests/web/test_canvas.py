"""Masks and points as pixels."""

from pathlib import Path

import numpy as np
import pytest

import mmdit.web
from mmdit.web.canvas import INSIDE, PALETTE, canvas_scale, draw
from mmdit.web.session import MAX_EXPRESSIONS, Prediction, Session

SIZE = (40, 60)


def predicted(name, probabilities, **shown):
    return Prediction(name, name, probabilities, None, 0, **shown)


@pytest.fixture
def halves():
    """A gray image whose left half is 'left', the right half 'right'."""
    left = np.zeros(SIZE, np.float32)
    left[:, :30] = 0.8
    predictions = predicted('left', left), predicted('right', 0.8 - left)
    return Session('a', np.full((*SIZE, 3), 128, np.uint8), predictions)


def test_each_mask_has_its_color_where_it_is(halves):
    canvas = draw(halves, 0.5).astype(int)
    assert canvas.shape == (480, 720, 3)
    for column, color in ((180, PALETTE[0]), (540, PALETTE[1])):
        got = canvas[240, column] - 128
        assert (np.sign(got) == np.sign(np.array(color) - 128)).all()


def test_above_the_threshold_nothing_is_drawn(halves):
    assert (draw(halves, 0.9) == 128).all()


def test_the_selected_mask_stands_out(halves):
    plain, selected = draw(halves, 0.5), draw(halves, 0.5, 'left')
    color = np.array(PALETTE[0])
    far, near = (abs(c[240, 180] - color).sum() for c in (plain, selected))
    assert near < far
    assert (plain[240, 540] == selected[240, 540]).all()


def test_points_and_box_of_the_selected_one_are_drawn(halves):
    shown = dict(points=((10, 5, 1),), box=(20, 10, 50, 30))
    left = predicted('left', halves.predictions[0].probabilities, **shown)
    session = Session('a', halves.pixels, (left,))
    # Beside the plus, within the disc; and on the frame.
    for place in ((55, 125), (240, 600)):
        assert tuple(draw(session, 0.5, 'left')[place]) == INSIDE
        assert tuple(draw(session, 0.5)[place]) != INSIDE


def test_small_images_grow_and_large_ones_shrink():
    assert canvas_scale((36, 72)) == 10
    assert canvas_scale((1000, 1000)) == 1
    assert canvas_scale((1440, 2880)) == 0.5
    large = Session('a', np.zeros((1, 4000, 3), np.uint8))
    assert draw(large, 0.5).shape == (1, 1440, 3)


def test_there_is_a_color_for_each_expression_here_and_in_the_style():
    assert len(set(PALETTE)) == len(PALETTE) == MAX_EXPRESSIONS
    style = Path(mmdit.web.__file__).with_name('style.css').read_text()
    for i, color in enumerate(PALETTE, 1):
        assert f':nth-child({i}) {{ --mask: rgb{color}; }}' in style
