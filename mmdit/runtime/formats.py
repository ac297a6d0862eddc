"""Predictions in the forms that other programs read."""

import base64
import csv
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from mmdit.files import open_text, read_json, write_text

from .images import read_image
from .limits import MAX_PIXELS
from .outlines import simplify, trace

# Of outlines that people go on to edit, in pixels.
_TOLERANCE = 1.0
# That labelme's files of these keys came with.
_LABELME = '5.2.1'


def coco_dataset(rows: Iterable[dict]) -> dict:
    """Return predictions as a COCO data set.

    Every expression is a category; a prediction that is empty has no
    annotation. Annotations hold compressed RLE and the score.

    Args:
        rows: As :func:`mmdit.apis.make_prediction` returns them.

    Returns:
        The data set; ``file_name`` is the name of a file without its folder,
        or, where two images have that, the path.
    """
    rows = list(rows)
    images: dict[str, dict] = {}
    categories: dict[str, dict] = {}
    annotations = []
    paths = {str(row['image']) for row in rows}
    shared = Counter(map(os.path.basename, paths))
    for number, row in enumerate(rows, 1):
        path = str(row['image'])
        name = os.path.basename(path)
        height, width = row['rle']['size']
        image = images.setdefault(
            path,
            dict(
                id=len(images) + 1,
                # Of two folders, images may have one name.
                file_name=path if shared[name] > 1 else name,
                width=width,
                height=height,
            ),
        )
        words = row['expression'] or 'prompts'
        category = categories.setdefault(
            words,
            dict(
                id=len(categories) + 1, name=words, supercategory='expression'
            ),
        )
        if row['box'] is None:
            continue
        left, top, right, bottom = row['box']
        annotations.append(
            dict(
                id=number,
                image_id=image['id'],
                category_id=category['id'],
                segmentation=row['rle'],
                area=int(coco_mask.area(row['rle'])),
                bbox=[left, top, right - left + 1, bottom - top + 1],
                iscrowd=0,
                caption=words,
                score=round(row['score'], 4),
            )
        )
    return dict(
        images=list(images.values()),
        annotations=annotations,
        categories=list(categories.values()),
    )


def write_formats(
    out_dir: str | Path, formats: Sequence[str], max_pixels: int = MAX_PIXELS
) -> None:
    """Write the predictions in a folder once more, in other forms.

    Args:
        out_dir: A folder that ``ResultWriter`` wrote.
        formats: Names in ``FORMATS``.
        max_pixels: The largest image to read again.
    """
    folder = Path(out_dir)
    rows = read_json(folder / 'predictions.json', 'segment the images again')
    for name in formats:
        FORMATS[name](folder, rows, max_pixels)


def _write_coco(folder: Path, rows: list[dict], _: int) -> None:
    """Write ``coco.json``."""
    _dump(folder / 'coco.json', coco_dataset(rows))


def _write_polygons(folder: Path, rows: list[dict], _: int) -> None:
    """Write ``polygons/NAME.geojson``: outlines along the edges of pixels."""
    for row in rows:
        keys = ('image', 'expression', 'score', 'box')
        feature = dict(
            type='Feature',
            properties={key: row[key] for key in keys},
            geometry=dict(type='MultiPolygon', coordinates=trace(_mask(row))),
        )
        _dump(folder / 'polygons' / f'{_name(row)}.geojson', feature)


def _write_cutouts(folder: Path, rows: list[dict], max_pixels: int) -> None:
    """Write ``cutouts/NAME.png``: what the box holds, transparent outside."""
    for image, of_image in _by_image(rows).items():
        pixels = read_image(image, max_pixels=max_pixels)[..., ::-1]
        for row in of_image:
            if row['box'] is None:
                continue
            left, top, right, bottom = row['box']
            alpha = _mask(row) * np.uint8(255)
            cut = np.dstack([pixels, alpha])[
                top : bottom + 1, left : right + 1
            ]
            path = folder / 'cutouts' / f'{_name(row)}.png'
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(cut).save(path)


def _write_ids(folder: Path, rows: list[dict], _: int) -> None:
    """Write ``ids/masks/NAME.png``, 16 bits, and ``ids/ids.csv``.

    Smaller masks lie on larger ones.
    """
    (folder / 'ids/masks').mkdir(parents=True, exist_ok=True)
    path = folder / 'ids/ids.csv'
    with open_text(path) as file:
        table = csv.writer(file)
        table.writerow(['image', 'mask', 'id', 'expression', 'score'])
        for image, of_image in _by_image(rows).items():
            labels = np.zeros(of_image[0]['rle']['size'], np.uint16)
            masks = [_mask(row) for row in of_image]
            name = f'{_name(of_image[0])}.png'
            areas = [mask.sum() for mask in masks]
            for i in np.argsort(areas)[::-1]:
                labels[masks[i] > 0] = i + 1
            Image.fromarray(labels).save(folder / 'ids/masks' / name)
            source = _from(folder / 'ids', image)
            for i, row in enumerate(of_image, 1):
                if row['box'] is not None:
                    words = row['expression'] or 'prompts'
                    table.writerow([source, name, i, words, row['score']])


def _write_labelme(folder: Path, rows: list[dict], _: int) -> None:
    """Write ``labelme/IMAGE.json``; masks with holes are its 'mask' shapes."""
    names: set[str] = set()
    for image, of_image in _by_image(rows).items():
        stem = Path(image).stem
        name = _name(of_image[0]) if stem in names else stem
        names.add(name)
        height, width = of_image[0]['rle']['size']
        shapes = [
            shape
            for number, row in enumerate(of_image, 1)
            for shape in _labelme_shapes(row, number)
        ]
        content = dict(
            version=_LABELME,
            flags={},
            shapes=shapes,
            imagePath=_from(folder / 'labelme', image),
            imageData=None,
            imageHeight=height,
            imageWidth=width,
        )
        _dump(folder / 'labelme' / f'{name}.json', content)


def _labelme_shapes(row: dict, number: int) -> list[dict]:
    """Return a prediction as shapes, parts of one group where it has more."""
    words = row['expression'] or 'prompts'
    base: dict[str, Any] = dict(
        label=words, description=words, flags={}, group_id=None
    )
    mask = _mask(row)
    polygons = trace(mask)
    if any(len(rings) > 1 for rings in polygons):
        left, top, right, bottom = row['box']
        content = BytesIO()
        part = mask[top : bottom + 1, left : right + 1]
        Image.fromarray(part * np.uint8(255)).save(content, 'PNG')
        points = [[left, top], [right, bottom]]
        png = base64.b64encode(content.getvalue()).decode()
        return [base | dict(shape_type='mask', points=points, mask=png)]
    rings = [simplify(polygon[0], _TOLERANCE) for polygon in polygons]
    group = number if rings[1:] else None
    kept = [ring for ring in rings if len(ring) > 2]
    return [
        base
        | dict(shape_type='polygon', points=ring, mask=None, group_id=group)
        for ring in kept
    ]


FORMATS: dict[str, Callable[[Path, list[dict], int], None]] = {
    'coco': _write_coco,
    'polygons': _write_polygons,
    'cutouts': _write_cutouts,
    'ids': _write_ids,
    'labelme': _write_labelme,
}


def _mask(row: dict) -> np.ndarray:
    """Return the (H, W) mask of a row, uint8, 0 or 1."""
    return coco_mask.decode(row['rle'])


def _name(row: dict) -> str:
    """Return the name that a row's own files have."""
    return Path(row['mask']).stem


def _by_image(rows: list[dict]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        found[str(row['image'])].append(row)
    return found


def _from(folder: Path, image: str) -> str:
    """Return the path of an image from a folder; a URL stays one."""
    return image if '://' in image else os.path.relpath(image, folder)


def _dump(path: Path, content: dict) -> None:
    write_text(path, json.dumps(content, ensure_ascii=False))
