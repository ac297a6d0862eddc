"""Images to begin with, drawn at start: none is shipped."""

from typing import NamedTuple

import numpy as np

from mmdit.datasets.synthref import draw_example, render

SIDE = 512
# Scenes of SynthRef's validation split whose expressions differ in kind.
SCENES = (55, 27, 24, 3)
MAX_QUERIES = 4


class Example(NamedTuple):
    """A drawn scene and expressions for it."""

    #: (SIDE, SIDE, 3) uint8, RGB.
    pixels: np.ndarray
    expressions: list[str]


def draw_examples() -> list[Example]:
    """Draw the scenes."""
    examples = []
    for index in SCENES:
        scene, described = draw_example(0, 'val', index)
        # One for each object.
        said = [pairs[0][1] for pairs in described if pairs]
        examples.append(Example(render(scene, SIDE), said[:MAX_QUERIES]))
    return examples
