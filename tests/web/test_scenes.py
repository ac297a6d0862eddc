"""Drawn images to begin with."""

from mmdit.web.scenes import SIDE, draw_examples
from mmdit.web.session import read_expressions


def test_examples_are_drawn_alike_each_time():
    first, second = draw_examples(), draw_examples()
    for one, other in zip(first, second, strict=True):
        assert one.pixels.shape == (SIDE, SIDE, 3)
        assert (one.pixels == other.pixels).all()
        text = '\n'.join(one.expressions)
        assert read_expressions(text) == other.expressions
