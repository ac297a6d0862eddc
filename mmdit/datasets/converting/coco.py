"""COCO's format, of COCO itself and as Roboflow, CVAT and others export it."""

from pathlib import Path

from ..reading.instances import check_image_entry, index_instances
from ..reading.values import load_json, short
from .shapes import (
    NO_MASK,
    LeftOut,
    Shape,
    Shapes,
    Source,
    attempt,
    find_file,
    texts_of,
)

_PATTERNS = (
    '_annotations.coco.json',
    '*/_annotations.coco.json',
    'annotations/*.json',
    '*.json',
)


def read(source: Path) -> Source:
    """Read a file, or the folder of an export."""
    path = find_file(source, _PATTERNS, "COCO's annotations in JSON")
    content = load_json(path)
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a list, expected an object of COCO')
    images, annotations, problems = index_instances(content, path)
    if problems:
        raise ValueError(f'{path}: {problems[0]}')
    names = {
        entry.get('id'): str(entry.get('name', ''))
        for entry in content.get('categories') or []
        if isinstance(entry, dict)
    }
    parent, split = path.parent, path.stem.rpartition('_')[2]
    above = parent.parent
    folders = [parent, parent / 'images', above / 'images']
    folders += [above / 'images' / split, above / split, above]
    return Source(_shapes(images, annotations, names), folders, False)


def _shapes(images: dict, annotations: dict, names: dict) -> Shapes:
    for name, annotation in annotations.items():
        entry = images.get(annotation.get('image_id'), {})
        yield attempt(
            f'annotation {short(name)}', _shape, annotation, entry, names
        )


def _shape(name: str, annotation: dict, entry: dict, names: dict) -> Shape:
    if not entry:
        missing = short(annotation.get('image_id'))
        raise ValueError(f"no image has its 'image_id' {missing}")
    image = check_image_entry(entry)
    segmentation = annotation.get('segmentation')
    if not segmentation:
        raise LeftOut(NO_MASK, name)
    attributes = annotation.get('attributes')
    return Shape(
        name=name,
        image=image['file_name'],
        size=(image['height'], image['width']),
        label=names.get(annotation.get('category_id'), ''),
        texts=texts_of(attributes if isinstance(attributes, dict) else {})
        | texts_of(annotation, ['segmentation']),
        mask=lambda height, width: segmentation,
        image_texts=texts_of(entry, ['file_name']),
        id=annotation['id'],
    )
