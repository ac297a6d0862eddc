"""Brush masks of Label Studio.

The lists come from its own tools: ``mask2rle`` and ``decode_rle`` of
label_studio_sdk 2.1.2.
"""

import numpy as np
import pytest
from brushes import RUNS, brushed

from mmdit.datasets.reading.brush import decode_brush

# Values that do not repeat, as browsers write soft edges. decode_rle reads
# [[0, 0, 7, 255], [0, 0, 7, 255], [0, 0, 9, 255]] as their alpha.
LITERALS = [
    *(0, 0, 0, 48, 57, 27, 250, 39, 0, 5, 10, 0, 20, 25, 30, 0, 40, 45, 50),
    *(7, 60, 65, 70, 255, 80, 85, 90, 0, 100, 105, 110, 0, 120, 125, 130, 7),
    *(140, 145, 150, 255, 160, 165, 170, 0, 180, 185, 190, 0, 140, 36, 61),
    *(206, 30, 111, 240),
]


def test_runs_are_read_as_label_studio_writes_them():
    np.testing.assert_array_equal(decode_brush(RUNS, 40, 60), brushed())


def test_values_without_repetition_are_read():
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert decode_brush(LITERALS, 3, 4).tolist() == expected


@pytest.mark.parametrize(
    ('rle', 'message'),
    [
        (RUNS[:-20], 'breaks off'),
        (RUNS[:3], 'breaks off'),
        (LITERALS, '48 values'),
        ([*RUNS[:8], *[255] * 90], 'beyond the end'),
        ([256], 'from 0 to 255'),
        (10**12, 'from 0 to 255'),
        ('text', 'from 0 to 255'),
        (None, 'from 0 to 255'),
    ],
)
def test_broken_brushes_are_rejected(rle, message):
    with pytest.raises(ValueError, match=message):
        decode_brush(rle, 40, 60)
