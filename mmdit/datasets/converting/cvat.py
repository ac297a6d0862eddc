"""CVAT's export "CVAT for images 1.1": annotations.xml and images/.

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ has the
format. Of a mask the runs go along the rows of its box, background first.
"""

from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ..reading.segmentations import MAX_PIXELS, encode_mask
from ..reading.values import load_xml, short
from .shapes import (
    NO_MASK,
    LeftOut,
    Shape,
    Shapes,
    Source,
    attempt,
    ellipse,
    find_file,
    flatten,
    paste,
)


def read(source: Path) -> Source:
    """Read ``annotations.xml``, or the folder that holds it."""
    path = find_file(source, ['annotations.xml', '*.xml'], "CVAT's XML")
    root = load_xml(path)
    if root.tag != 'annotations':
        raise ValueError(
            f'{path} holds <{root.tag[:40]}>, expected the <annotations> of '
            'CVAT; export as "CVAT for images 1.1"'
        )
    if root.find('track') is not None:
        raise ValueError(
            f'{path} holds tracks of a video; export as "CVAT for images 1.1"'
        )
    folders = [path.parent / 'images', path.parent]
    inner = folders[0].iterdir() if folders[0].is_dir() else ()
    # Exports of a project have a folder for each subset.
    folders += [folder for folder in inner if folder.is_dir()]
    return Source(_shapes(root), folders, True)


def _shapes(root: Element) -> Shapes:
    for image in root.iter('image'):
        for number, shape in enumerate(image):
            name = f'{shape.tag} {number} of image {image.get("id")}'
            yield attempt(name, _shape, shape, image)


def _shape(name: str, shape: Element, image: Element) -> Shape:
    texts: dict[str, list[str]] = {}
    for attribute in shape.iter('attribute'):
        if text := ' '.join((attribute.text or '').split()):
            texts.setdefault(attribute.attrib['name'], []).append(text)
    group, label = shape.get('group_id', '0'), shape.attrib['label']
    return Shape(
        name=name,
        image=image.attrib['name'],
        size=(int(image.attrib['height']), int(image.attrib['width'])),
        label=label,
        texts=texts,
        mask=_mask(name, shape),
        # 0 is CVAT's word for none.
        group=None if group == '0' else (label, group),
    )


def _mask(name: str, shape: Element) -> Callable[[int, int], list | dict]:
    """Return what draws a shape."""
    if shape.tag == 'polygon':
        pairs = [p.split(',') for p in shape.attrib['points'].split(';')]
        return lambda height, width: [flatten(pairs)]
    if shape.tag == 'ellipse':
        x, y, wide, high = (
            float(shape.attrib[key]) for key in ('cx', 'cy', 'rx', 'ry')
        )
        degrees = float(shape.get('rotation', 0))
        return lambda height, width: [ellipse(x, y, wide, high, degrees)]
    if shape.tag != 'mask':
        raise LeftOut(NO_MASK, f'{name} ({short(shape.tag)})')
    left, top, width, height = (
        int(shape.attrib[key]) for key in ('left', 'top', 'width', 'height')
    )
    runs = [int(run) for run in shape.attrib['rle'].split(',')]
    if min(runs) < 0 or not sum(runs) == height * width <= MAX_PIXELS:
        raise ValueError(
            f"'rle' counts {short(sum(runs))} pixels, expected those of its "
            f'box of {short(width)} x {short(height)}'
        )

    def draw(image_height: int, image_width: int) -> dict:
        values = np.arange(len(runs), dtype=np.uint8) % 2
        part = np.repeat(values, runs).reshape(height, width)
        return encode_mask(paste(part, left, top, image_height, image_width))

    return draw
