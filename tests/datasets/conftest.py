"""A JSON-lines data set with every kind of mask."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

SIZES = {'a.jpg': (40, 60), 'b.png': (50, 30)}


def square_mask():
    mask = np.zeros(SIZES['b.png'], np.uint8, order='F')
    mask[10:20, 10:20] = 1
    return mask


def tiny_rows():
    compressed = coco_mask.encode(square_mask())
    compressed['counts'] = compressed['counts'].decode()
    column = [0, 50, 1450]
    return [
        dict(
            image='images/a.jpg',
            expression=' The Box on the left ',
            mask=[[2, 3, 22, 3, 22, 33, 2, 33]],
        ),
        dict(
            image='images/a.jpg',
            expression='two pieces',
            mask=[
                [40, 5, 50, 5, 50, 15, 40, 15],
                [45, 20, 55, 20, 55, 30, 45, 30],
            ],
            id='pieces-1',
            image_id=7,
        ),
        dict(image='images/b.png', expression='square', mask=compressed),
        dict(
            image='images/b.png',
            expression='left edge',
            mask=dict(size=[50, 30], counts=column),
        ),
        dict(
            image='images/b.png',
            expression='bright square',
            mask='masks/b_1.png',
        ),
        dict(
            image='images/b.png', expression='a dog', mask=None, no_target=True
        ),
    ]


def write_tiny_jsonl(root):
    """Write ``train.jsonl`` with its images and masks below ``root``."""
    rng = np.random.default_rng(0)
    (root / 'images').mkdir(parents=True)
    (root / 'masks').mkdir()
    for name, size in SIZES.items():
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        assert cv2.imwrite(str(root / 'images' / name), pixels)
    assert cv2.imwrite(str(root / 'masks' / 'b_1.png'), 255 * square_mask())
    path = root / 'train.jsonl'
    path.write_text(''.join(json.dumps(row) + '\n' for row in tiny_rows()))
    return path


@pytest.fixture
def tiny_jsonl(tmp_path):
    """Path of a small JSON-lines file."""
    return write_tiny_jsonl(tmp_path / 'own')
