"""Segmentations of annotation files, drawn as masks."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from mmengine import fileio
from PIL import Image
from pycocotools import mask as coco_mask

# A polygon needs three corners; pycocotools takes four numbers for a box.
_MIN_POLYGON = 6


def draw_mask(
    segmentation: str | dict | list, height: int, width: int
) -> np.ndarray:
    """Draw a segmentation.

    Args:
        segmentation: One RLE (compressed or not), a list of polygons or RLEs
            whose union is meant, or the path of a PNG whose pixels other than
            0 are meant. Polygons of fewer than three corners enclose nothing.
        height: Height of the image.
        width: Width of the image.

    Returns:
        The (height, width) mask, uint8, 0 or 1.
    """
    if isinstance(segmentation, str):
        labels = read_labels(segmentation, height, width)
        return (labels != 0).astype(np.uint8)
    if isinstance(segmentation, dict):
        segmentation = [segmentation]
    polygons = [
        part
        for part in segmentation
        if not isinstance(part, dict) and len(part) >= _MIN_POLYGON
    ]
    rles = [
        _compress(part, height, width)
        for part in segmentation
        if isinstance(part, dict)
    ]
    if polygons:
        rles += coco_mask.frPyObjects(polygons, height, width)
    if not rles:
        return np.zeros((height, width), np.uint8)
    return coco_mask.decode(coco_mask.merge(rles))


def read_labels(path: str, height: int, width: int) -> np.ndarray:
    """Read a PNG of one channel, or with a palette.

    Args:
        path: Where the file is.
        height: Height of the image that it belongs to.
        width: Width of that image.

    Returns:
        The (height, width) numbers that the file holds for its pixels: grey
        values, or places in the palette.
    """
    content = fileio.get(path)
    try:
        with Image.open(BytesIO(content)) as image:
            file_format, labels = image.format, np.asarray(image)
    # Pillow's PNG reader raises SyntaxError for damaged files.
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f'{path} is not a complete PNG ({len(content)} bytes)'
        ) from error
    if file_format != 'PNG':
        raise ValueError(
            f'{path} is a {file_format} file; save it as PNG, which keeps '
            'every pixel as it is'
        )
    if labels.ndim != 2:
        raise ValueError(
            f'{path} has {labels.shape[2]} channels; save it with one '
            "(Pillow: image.convert('L')), where 0 is background"
        )
    if labels.shape != (height, width):
        raise ValueError(
            f'{path} is {labels.shape[0]}x{labels.shape[1]} (height x width), '
            f'its image {height}x{width} as stored, without EXIF rotation; '
            'both must have the same size'
        )
    return labels


def _compress(rle: dict, height: int, width: int) -> dict:
    """Return the RLE in compressed form, its size and length checked."""
    counts = rle['counts']
    if list(rle['size']) != [height, width]:
        raise ValueError(
            f'RLE of size {list(rle["size"])} in an image of size '
            f'{[height, width]} (height, width); both must be the same'
        )
    is_text = isinstance(counts, (str, bytes))
    runs = _read_runs(counts) if is_text else counts
    if min(runs, default=0) < 0:
        raise ValueError('RLE counts hold a negative number')
    if sum(runs) != height * width:
        raise ValueError(
            f'RLE counts {sum(runs)} pixels in an image of {height * width}'
        )
    return rle if is_text else coco_mask.frPyObjects(rle, height, width)


def _read_runs(counts: str | bytes) -> Sequence[int]:
    """Return the run lengths of a compressed RLE.

    pycocotools does not check them: what a string lacks it reads from
    whatever lies in memory. The code is that of ``rleFrString``, at
    https://github.com/cocodataset/cocoapi/blob/8c9bcc3/common/maskApi.c
    """
    runs: list[int] = []
    value = shift = 0
    for byte in counts.encode() if isinstance(counts, str) else counts:
        code = byte - 48
        if not 0 <= code < 64:
            raise ValueError(f'RLE counts hold the byte {byte}')
        # Five bits of the number, then: more follow; the last tells the sign.
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        # From the fourth on, a number is the difference to the last but one.
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError('RLE counts break off')
    return runs
