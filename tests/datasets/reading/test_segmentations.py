"""Numbers of annotation files, where pycocotools would take them."""

import resource
import time

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmdit.datasets.reading.segmentations import (
    draw_mask,
    parse_segmentation,
)

HEIGHT, WIDTH = 480, 640
NAN, INF = float('nan'), float('inf')
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


def rle(counts, size=(HEIGHT, WIDTH)):
    return dict(size=list(size), counts=counts)


def zigzag(corners, width):
    return [v for i in range(corners) for v in ((i % 2) * width, i % HEIGHT)]


DEADLY = [
    ([[10, 10, NAN, 20, 30, 30]], 'or holds NaN'),
    ([[10, 10, INF, 20, 30, 30]], 'reaches beyond 100000 pixels'),
    ([[10, 10, 'nan', 20, 30, 30]], 'or holds NaN'),
    ([[10, 10, None, 20, 30, 30]], r'holds \[10, 10, null, .*flat list'),
    ([[0, 0, 1e7, 0, 1e7, 1e7]], 'reaches beyond 100000 pixels'),
    ([[0, 0, 10**400, 0, 5, 5]], 'reaches beyond 100000 pixels'),
    ([zigzag(200, 1e5)], r'outlines are 20,000,200 pixels long, .*RLE or PNG'),
    ([zigzag(400, 639)] * 20, 'outlines are 5,'),
    ([SQUARE] * 20_000, 'has 20,000 parts, expected at most 10,000'),
    ([[[1e9, 1e9]]], 'flat list'),
    (rle([-1, HEIGHT * WIDTH + 1]), 'whole numbers, 0 or more'),
    (rle([2**32 + HEIGHT * WIDTH]), 'counts 4295274496 pixels'),
    (rle([10**5000]), 'an integer of .* bits'),
    (rle([INF]), 'whole numbers, 0 or more'),
    (rle('o' * 1_000_000), 'a number of 40 bits'),
    (rle('0' * 100_000), 'counts 0 pixels'),
    (rle('\ud800'), 'hold the byte 237'),
    (
        rle('0', (10**9, 10**9)),
        r'of size \[1000000000, .* expected what pycoco',
    ),
    ([rle('0')] * 20_000, 'has 20,000 parts'),
]


@pytest.mark.parametrize(('segmentation', 'message'), DEADLY)
def test_numbers_neither_kill_nor_fill_the_memory(segmentation, message):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(ValueError, match=message):
        draw_mask(segmentation, HEIGHT, WIDTH)
    assert time.process_time() - start < 1
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 100_000


@pytest.mark.parametrize(
    'size', [(10**9, 10**9), (0, 5), (-3, -3), (1, 10**9), (10**5000, 1)]
)
def test_sizes_of_images_are_bounded(size):
    for segmentation in ([SQUARE], [], rle([1])):
        with pytest.raises(ValueError, match='expected 1 to 178,956,970'):
            draw_mask(segmentation, *size)


@pytest.mark.parametrize(
    'segmentation', [[zigzag(1500, 639)], [SQUARE] * 9999, [rle([0, 307200])]]
)
def test_what_is_long_but_possible_is_drawn_within_seconds(segmentation):
    start = time.process_time()
    assert draw_mask(segmentation, HEIGHT, WIDTH).any()
    assert time.process_time() - start < 5


def test_many_parts_merge_as_few_do():
    polygons = [[x, 5, x + 4, 5, x + 4, 9, x, 9] for x in range(0, 600, 3)]
    mask = draw_mask(polygons, HEIGHT, WIDTH)
    whole = coco_mask.frPyObjects(polygons, HEIGHT, WIDTH)
    assert (mask == coco_mask.decode(coco_mask.merge(whole))).all()


@pytest.mark.parametrize(
    ('odd', 'plain', 'flaws'),
    [
        ([SQUARE, [1, 2]], [SQUARE], {'short polygons': 1}),
        ([SQUARE, []], [SQUARE], {'short polygons': 1}),
        ([[*SQUARE, 5]], [SQUARE], {'odd polygons': 1}),
        ([[str(v) for v in SQUARE]], [SQUARE], {'odd numbers': 1}),
        ((tuple(SQUARE),), [SQUARE], {}),
        ([rle([0, 307200])], rle([0, 307200]), {}),
        (rle([0.0, 307200.0]), rle([0, 307200]), {'odd numbers': 1}),
        (rle([0, 307200], (480.0, 640.0)), rle([0, 307200]), {}),
    ],
)
def test_what_is_unambiguous_is_drawn_and_its_flaws_counted(odd, plain, flaws):
    assert parse_segmentation(odd).flaws == flaws
    drawn = draw_mask(odd, HEIGHT, WIDTH)
    assert drawn.any() and (drawn == draw_mask(plain, HEIGHT, WIDTH)).all()


def test_a_png_is_compared_with_its_image_before_it_is_decoded(tmp_path):
    path = tmp_path / 'bomb.png'
    Image.new('1', (12_000, 12_000)).save(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match='is 12000x12000'):
        draw_mask(str(path), HEIGHT, WIDTH)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_masks_equal_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(50):
        corners = rng.random((int(rng.integers(3, 40)), 2)) * (700, 500) - 20
        polygon = corners.ravel().tolist()
        merged = coco_mask.frPyObjects([polygon], HEIGHT, WIDTH)
        expected = coco_mask.decode(coco_mask.merge(merged))
        assert (draw_mask([polygon], HEIGHT, WIDTH) == expected).all()
