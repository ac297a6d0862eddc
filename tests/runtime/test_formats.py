"""Predictions as other programs read them."""

import argparse
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mmdit.apis import ResultWriter, make_prediction
from mmdit.cli import convert_data, segment
from mmdit.datasets.converting import KINDS, convert
from mmdit.datasets.reading.rows import read_rows
from mmdit.datasets.reading.segmentations import draw_mask
from mmdit.runtime.formats import FORMATS, write_formats
from mmdit.runtime.outlines import trace

SIZE = (40, 60)


def masks():
    """A ring, two discs, nothing, by expression."""
    found = {name: np.zeros(SIZE, np.uint8) for name in ('ring', 'two', 'no')}
    cv2.circle(found['ring'], (20, 20), 12, 1, 5)
    cv2.circle(found['two'], (40, 12), 8, 1, -1)
    cv2.circle(found['two'], (48, 30), 6, 1, -1)
    return found


@pytest.fixture
def out(tmp_path):
    """A folder of predictions, in all forms."""
    path = tmp_path / 'photos/a.png'
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    with ResultWriter(tmp_path / 'out') as writer:
        for name, mask in masks().items():
            probabilities = mask.astype(np.float32) * 0.75
            row = make_prediction(str(path), name, probabilities, 0.5)
            writer.write(row, pixels)
    write_formats(tmp_path / 'out', list(FORMATS))
    return tmp_path / 'out'


def inside(rings, height, width):
    """Return which centers of pixels lie within rings: even and odd."""
    y, x = np.mgrid[:height, :width] + 0.5
    odd = np.zeros((height, width), bool)
    for ring in rings:
        assert ring[0] == ring[-1]
        for (x1, y1), (x2, y2) in zip(ring, ring[1:], strict=False):
            if y1 != y2:
                cut = (y1 > y) != (y2 > y)
                odd ^= cut & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return odd


def area(ring):
    """Return the area in a ring; negative where it runs the other way."""
    x, y = np.array(ring, float).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def test_coco_reads_the_masks(out):
    coco = COCO(str(out / 'coco.json'))
    assert [c['name'] for c in coco.cats.values()] == ['ring', 'two', 'no']
    (image,) = coco.imgs.values()
    assert image['file_name'] == 'a.png' and image['height'] == 40
    for annotation in coco.anns.values():
        drawn = coco.annToMask(annotation)
        np.testing.assert_array_equal(drawn, masks()[annotation['caption']])
        assert annotation['area'] == drawn.sum()
        assert annotation['score'] == 0.75
    assert len(coco.anns) == 2


def test_polygons_have_holes_and_the_masks_exact_area(out):
    found = {}
    for path in (out / 'polygons').iterdir():
        feature = json.loads(path.read_text())
        assert feature['geometry']['type'] == 'MultiPolygon'
        polygons = feature['geometry']['coordinates']
        found[feature['properties']['expression']] = polygons
    assert [len(p) for p in found['ring']] == [2]
    assert [len(p) for p in found['two']] == [1, 1] and found['no'] == []
    for name, mask in masks().items():
        rings = [ring for polygon in found[name] for ring in polygon]
        np.testing.assert_array_equal(inside(rings, *SIZE), mask)
        assert sum(map(area, rings)) == mask.sum()


@pytest.mark.parametrize('seed', range(4))
def test_any_mask_is_traced(seed):
    mask = np.random.default_rng(seed).random((9, 13)) < 0.3 + 0.1 * seed
    polygons = trace(mask)
    rings = [ring for polygon in polygons for ring in polygon]
    np.testing.assert_array_equal(inside(rings, 9, 13), mask)
    count, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    assert len(polygons) == count - 1
    for outer, *holes in polygons:
        assert area(outer) > 0 and all(area(hole) < 0 for hole in holes)
        drawn = inside([outer, *holes], 9, 13)
        assert area(outer) + sum(map(area, holes)) == drawn.sum()


def test_a_whole_image_is_traced():
    assert trace(np.ones((2, 3))) == [
        [[[0, 0], [3, 0], [3, 2], [0, 2], [0, 0]]]
    ]


def test_cutouts_are_transparent_outside(out):
    whole = np.asarray(Image.open(out.parent / 'photos/a.png'))
    names = sorted(path.name for path in (out / 'cutouts').iterdir())
    assert names == ['a_ring.png', 'a_two.png']
    cut = np.asarray(Image.open(out / 'cutouts/a_two.png'))
    rows, columns = masks()['two'].nonzero()
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    np.testing.assert_array_equal(cut[..., :3], whole[box])
    np.testing.assert_array_equal(cut[..., 3], masks()['two'][box] * 255)


@pytest.mark.parametrize(
    ('kind', 'source', 'least'),
    [
        ('coco', 'coco.json', 1),
        ('masks', 'ids', 1),
        # Polygons for the eye, within a pixel.
        ('labelme', 'labelme', 0.9),
    ],
)
def test_predictions_can_be_trained_on(out, kind, source, least):
    path = out / 'own.jsonl'
    folder = out.parent / 'photos' if kind == 'coco' else None
    done = convert(kind, out / source, path, images=folder)
    assert (done.rows, done.left_out) == (2, {})
    for _, row in read_rows(path):
        drawn, mask = draw_mask(row.mask, *SIZE), masks()[row.expression]
        if kind == 'masks' and row.expression == 'ring':
            # What lies on top hides the rest.
            mask = mask & ~masks()['two']
        union = (drawn | mask).sum()
        assert (drawn & mask).sum() >= least * union, row.expression


def test_commands_offer_all_formats_and_kinds():
    parser = argparse.ArgumentParser()
    segment.add_arguments(parser)
    choices = {a.dest: a.choices for a in parser._actions}
    assert list(choices['format']) == list(FORMATS)
    assert list(convert_data._KINDS) == list(KINDS)
