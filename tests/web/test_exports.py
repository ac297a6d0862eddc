"""Files that other programs read."""

import json
from dataclasses import replace
from io import BytesIO
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmdit.web.exports import coco_json, masks_zip
from mmdit.web.session import Session, predict


@pytest.fixture
def threshold(session):
    """One at which the first mask is empty and the second is not."""
    first, second = (a.probabilities.max() for a in session.predictions)
    if first > second:
        session.predictions[0].probabilities[:] *= second / first / 2
        first = session.predictions[0].probabilities.max()
    return float(first + second) / 2


def test_coco_reads_the_masks(session, threshold, tmp_path):
    path = tmp_path / 'masks.json'
    path.write_text(coco_json(session, threshold), 'utf-8')
    coco = COCO(str(path))
    rows = predict(session, threshold)
    names = [coco.cats[i]['name'] for i in coco.getCatIds()]
    assert names == ['the red circle', 'blue']
    (image,) = coco.imgs.values()
    assert image['file_name'] == 'photo.png'
    assert (image['height'], image['width']) == (40, 60)
    # What found nothing has a category only.
    assert not rows[0]['mask'].any() and coco.getAnnIds(catIds=[1]) == []
    (annotation,) = coco.loadAnns(coco.getAnnIds(catIds=[2]))
    mask = coco.annToMask(annotation)
    assert np.array_equal(mask.astype(bool), rows[1]['mask'])
    assert annotation['area'] == mask.sum()
    rows_hit, columns_hit = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    x, y, width, height = annotation['bbox']
    assert (x, x + width - 1) == (columns_hit[0], columns_hit[-1])
    assert (y, y + height - 1) == (rows_hit[0], rows_hit[-1])
    assert annotation['score'] == pytest.approx(rows[1]['score'], abs=1e-4)


def test_the_zip_holds_a_mask_of_each_expression(session):
    rows = predict(session, 0.3)
    with ZipFile(BytesIO(masks_zip(session, 0.3))) as archive:
        listed = json.loads(archive.read('predictions.json'))
        assert [row['expression'] for row in listed] == [
            'the red circle',
            'blue',
        ]
        for entry, row in zip(listed, rows, strict=True):
            content = np.frombuffer(archive.read(entry['mask']), np.uint8)
            mask = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
            assert np.array_equal(mask, row['mask'] * np.uint8(255))
            assert entry['overlay'] in archive.namelist()


def test_without_predictions_there_is_no_file():
    empty = Session('a', np.zeros((4, 5, 3), np.uint8))
    for make in (coco_json, masks_zip):
        with pytest.raises(ValueError, match='enter an expression'):
            make(empty, 0.5)


def test_a_name_tells_nothing_of_a_file_of_the_server(session):
    named = replace(session, name='pyproject.toml')
    with ZipFile(BytesIO(masks_zip(named, 0.3))) as archive:
        for row in json.loads(archive.read('predictions.json')):
            assert 'stamp' not in row and row['image'] == 'pyproject.toml'
