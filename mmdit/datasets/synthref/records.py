"""One scene, its expressions, and their records in RefCOCO's formats.

Every image has a random stream and ids of its own, made from the seed, the
split and the image's number: neither depends on how many others there are.
"""

from random import Random
from typing import Any

import numpy as np

from .drawing import outline
from .language import describe
from .scene import LEVELS, SHAPES, Scene, SceneObject, sample_scene

SPLITS = ('train', 'val')
IDS_PER_SPLIT = 1_000_000
_IDS_PER_PARENT = 10  # annotations of an image, sentences of an annotation
_MIN_REFS = 2  # per image: the image alone must not give the referent
_CATEGORY_IDS = {shape: i for i, shape in enumerate(SHAPES, 1)}


def draw_example(
    seed: int, split: str, index: int, level: str = 'easy'
) -> tuple[Scene, list[list[tuple[str, str]]]]:
    """Draw one scene and its expressions.

    Args:
        seed: The data set's seed.
        split: ``'train'`` or ``'val'``.
        index: The image's number within its split.
        level: How hard to read, a key of ``LEVELS``.

    Returns:
        The scene, and for each of its objects the (kind, expression) pairs.
    """
    # Python's own generator gives plain numbers: no numpy type gets pickled.
    sequence = np.random.SeedSequence(
        seed, spawn_key=(SPLITS.index(split), index)
    )
    rng = Random(sequence.generate_state(4).tobytes())
    while True:
        scene = sample_scene(rng, LEVELS[level])
        indices = range(len(scene.objects))
        described = [
            describe(scene, target, rng, LEVELS[level].kind_odds)
            for target in indices
        ]
        if sum(map(bool, described)) >= _MIN_REFS:
            return scene, described


def category_records() -> list[dict[str, Any]]:
    """Return the categories, which are the shapes."""
    return [
        dict(id=i, name=name, supercategory='shape')
        for name, i in _CATEGORY_IDS.items()
    ]


def image_record(split: str, index: int, size: int) -> dict[str, Any]:
    """Return an image's record for ``instances.json``."""
    image_id = SPLITS.index(split) * IDS_PER_SPLIT + index + 1
    file_name = f'COCO_train2014_{image_id:012d}.png'
    return dict(id=image_id, file_name=file_name, height=size, width=size)


def annotation_record(
    obj: SceneObject, number: int, image: dict[str, Any]
) -> dict[str, Any]:
    """Return an object's record for ``instances.json``.

    Args:
        obj: The object.
        number: Its index in the scene.
        image: Record of its image.

    Returns:
        The record; its extra key ``attributes`` holds its attributes.
    """
    points = outline(obj) * image['width']
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    x, y = points.T
    area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    attributes = dict(
        shape=obj.shape,
        color=obj.color,
        size=obj.size,
        texture=obj.texture,
        center=list(obj.center),
    )
    return dict(
        id=image['id'] * _IDS_PER_PARENT + number,
        image_id=image['id'],
        category_id=_CATEGORY_IDS[obj.shape],
        segmentation=[points.round(2).ravel().tolist()],
        bbox=np.array([x0, y0, x1 - x0, y1 - y0]).round(2).tolist(),
        area=round(float(area), 2),
        iscrowd=0,
        attributes=attributes,
    )


def ref_record(
    pairs: list[tuple[str, str]],
    annotation: dict[str, Any],
    image: dict[str, Any],
    split: str,
) -> dict[str, Any]:
    """Return an object's record for ``refs(unc).p``.

    Args:
        pairs: The object's (kind, expression) pairs.
        annotation: Its annotation record.
        image: Record of its image.
        split: The split of its image.
    """
    first_id = annotation['id'] * _IDS_PER_PARENT
    sentences = [
        dict(sent_id=first_id + i, sent=said, raw=said, tokens=said.split())
        for i, (_, said) in enumerate(pairs)
    ]
    return dict(
        ref_id=annotation['id'],
        ann_id=annotation['id'],
        image_id=image['id'],
        category_id=annotation['category_id'],
        file_name=image['file_name'],
        split=split,
        sent_ids=[sentence['sent_id'] for sentence in sentences],
        sentences=sentences,
    )
