"""Data sets that several tests read."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

REFER_MINI = Path(__file__).parents[2] / 'shared' / 'data' / 'refer_mini'
TINY_SIZES = {1: (40, 60), 2: (50, 30)}
# Two refs may share an annotation; sentence ids count on from 0.
TINY_REFS = (
    # ref_id, ann_id, image_id, split, sentences
    (10, 100, 1, 'train', ['Left  box ', 'the box on the left']),
    (11, 101, 1, 'train', ['right thing', 'thing', 'two pieces']),
    (12, 100, 1, 'train', ['big box']),
    (13, 102, 2, 'train', ['crowd']),
    (14, 103, 2, 'val', ['square', 'bright square']),
    (15, 101, 1, 'val', ['pieces']),
)


@pytest.fixture(scope='session')
def refer_mini():
    """Path of 16 real images with real expressions."""
    if not REFER_MINI.is_dir():
        pytest.skip(f'real sample data {REFER_MINI} is not here')
    return REFER_MINI


def _rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def _crowd_mask():
    mask = np.zeros(TINY_SIZES[2], np.uint8)
    mask[5:20, 3:9] = 1
    mask[30:45, 10:28] = 1
    return mask


def _uncompressed(mask):
    """Encode a mask the way COCO writes crowds, column by column."""
    counts, current, run = [], 0, 0
    for value in mask.flatten(order='F').tolist():
        if value != current:
            counts.append(run)
            current, run = value, 0
        run += 1
    return dict(counts=[*counts, run], size=list(mask.shape))


def _tiny_annotations():
    square = np.zeros(TINY_SIZES[2], np.uint8, order='F')
    square[10:20, 10:20] = 1
    compressed = coco_mask.encode(square)
    compressed['counts'] = compressed['counts'].decode()
    return [
        (100, 1, [_rectangle(2, 3, 22, 33)], 600),
        (
            101,
            1,
            [_rectangle(40, 5, 50, 15), _rectangle(45, 20, 55, 30)],
            200,
        ),
        (102, 2, _uncompressed(_crowd_mask()), int(_crowd_mask().sum())),
        (103, 2, compressed, 100),
    ]


def write_tiny_refer(root, protocol=2):
    """Write ``refcoco`` with every kind of segmentation below ``root``."""
    images = root / 'images' / 'train2014'
    images.mkdir(parents=True)
    entries = []
    rng = np.random.default_rng(0)
    for image_id, (height, width) in TINY_SIZES.items():
        name = f'COCO_train2014_{image_id:012d}.jpg'
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        assert cv2.imwrite(str(images / name), pixels)
        entries.append(
            dict(id=image_id, height=height, width=width, file_name=name)
        )
    annotations = [
        dict(
            id=ann_id,
            image_id=image_id,
            segmentation=segmentation,
            area=area,
            iscrowd=int(isinstance(segmentation, dict)),
            category_id=1,
        )
        for ann_id, image_id, segmentation, area in _tiny_annotations()
    ]
    folder = root / 'refcoco'
    folder.mkdir()
    (folder / 'instances.json').write_text(
        json.dumps(dict(images=entries, annotations=annotations))
    )
    refs, sent_id = [], 0
    for ref_id, ann_id, image_id, split, sentences in TINY_REFS:
        ids = list(range(sent_id, sent_id + len(sentences)))
        sent_id += len(sentences)
        refs.append(
            dict(
                ref_id=ref_id,
                ann_id=ann_id,
                image_id=image_id,
                split=split,
                category_id=1,
                file_name='not_the_name_of_the_image.jpg',
                sent_ids=ids,
                sentences=[
                    dict(sent_id=i, sent=sent, raw=sent, tokens=sent.split())
                    for i, sent in zip(ids, sentences, strict=True)
                ],
            )
        )
    with open(folder / 'refs(unc).p', 'wb') as file:
        pickle.dump(refs, file, protocol=protocol)
    return root


@pytest.fixture
def tiny_refer(tmp_path):
    """Root of a small data set with every kind of segmentation."""
    return write_tiny_refer(tmp_path / 'tiny')
