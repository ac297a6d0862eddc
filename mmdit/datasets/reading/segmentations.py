"""Segmentations of annotation files: normalized or rejected, and drawn.

pycocotools checks nothing: NaN, large numbers and long outlines end the
process or fill the memory. No other module hands it numbers from files.
"""

import math
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from mmengine import fileio
from PIL import Image
from pycocotools import mask as coco_mask

from mmdit.shards import read_bytes

from .values import short, to_number, to_whole

# A polygon needs three corners; pycocotools takes four numbers for a box.
_MIN_POLYGON = 6
# Beyond any image.
_MAX_COORDINATE = 100_000
# All outlines of a mask together, in pixels: pycocotools takes 0.3 s and
# 80 MB for so many.
_MAX_OUTLINE = 1_000_000
# Each polygon or RLE of a mask takes 50 us.
_MAX_PARTS = 10_000
# Of an image: the most that Pillow opens. pycocotools counts with 32 bits.
MAX_PIXELS = 178_956_970
# So many bits hold any number of pixels.
_MAX_BITS = 35
# So many RLEs are merged at a time: the time for n at once grows as n * n.
_PACK = 16

_EXPECTED = (
    'expected a list of polygons, each a flat list: [[x1, y1, x2, y2, x3, '
    'y3, ...], ...], or an RLE {"size": ..., "counts": ...}'
)


_RLE = 'expected what pycocotools.mask.encode writes for its image'
# What is drawn nevertheless, with a warning, and what then happens.
FLAWS = {
    'short polygons': 'of fewer than three corners enclose nothing',
    'odd polygons': 'have an x without a y at their end, which is left out',
    'odd numbers': 'hold text or 5.0 where a number belongs, which is read',
    'polygons outside': 'leave the image by over a tenth of its side',
}
# How far a polygon may leave the image, as a share of its side: more than
# rounding, less than most polygons of another image.
_TOLERANCE = 0.1


class Segmentation(NamedTuple):
    """What of a segmentation can be drawn.

    Attributes:
        polygons: Corners as flat arrays x1, y1, ..., three or more each.
        rles: Each with ``size`` and ``counts``, not yet held against the size
            of the image.
        flaws: How many parts have which of ``FLAWS``.
    """

    polygons: list[np.ndarray]
    rles: list[dict]
    flaws: Counter


def parse_segmentation(given: Any, name: str = 'it') -> Segmentation:
    """Return what can be drawn of a COCO segmentation.

    Args:
        given: One RLE (compressed or not), or a list of polygons or RLEs
            whose union is meant.
        name: What messages call it.

    Raises:
        ValueError: Where it is something else.
    """
    if given is None:
        raise ValueError(f'{name} is missing, {_EXPECTED}')
    if not isinstance(given, (dict, list, tuple)):
        raise ValueError(
            f'{name} is {short(given)}, expected polygons [[x1, y1, x2, y2, '
            'x3, y3, ...], ...], an RLE {"size": ..., "counts": ...} or the '
            'path of a PNG'
        )
    parts = [given] if isinstance(given, dict) else given
    if len(parts) > _MAX_PARTS:
        raise ValueError(
            f'{name} has {len(parts):,} parts, expected at most '
            f'{_MAX_PARTS:,}; write such a mask as one RLE'
        )
    found = Segmentation([], [], Counter())
    for part in parts:
        if isinstance(part, dict):
            found.rles.append(_parse_rle(part, found.flaws))
        elif isinstance(part, (list, tuple)):
            polygon = _parse_polygon(part, name, found.flaws)
            if polygon.size >= _MIN_POLYGON:
                found.polygons.append(polygon)
        else:
            raise ValueError(f'{name} holds {short(part)}, {_EXPECTED}')
    if found.polygons and not found.rles:
        # Ends at the first number; NumPy would go through all, two times.
        numbers = chain.from_iterable(p.tolist() for p in found.polygons)
        if all(0 <= number <= 1 for number in numbers):
            raise ValueError(
                f'{name}, {short(given)}, lies within one pixel; coordinates '
                'are pixels, not shares of the image: multiply x by its '
                'width, y by its height'
            )
    return found


def _parse_polygon(part: Sequence, name: str, flaws: Counter) -> np.ndarray:
    """Return the corners of a polygon, flat."""
    if not set(map(type, part)) <= {int, float}:
        try:
            part = [to_number(value) for value in part]
        except ValueError:
            problem = f'{name} holds {short(part)}, {_EXPECTED}'
            raise ValueError(problem) from None
        flaws['odd numbers'] += 1
    if part and not _is_near(part):
        raise ValueError(
            f'polygon {short(part)} reaches beyond {_MAX_COORDINATE} pixels, '
            'or holds NaN; expected pixels of its image'
        )
    polygon = np.array(part, np.float64)
    if polygon.size < _MIN_POLYGON:
        flaws['short polygons'] += 1
    elif polygon.size % 2:
        flaws['odd polygons'] += 1
    return polygon[: polygon.size // 2 * 2]


def _is_near(numbers: Sequence[float]) -> bool:
    """Tell whether all are coordinates; faster than NumPy on short lists."""
    try:
        # Not so of NaN and infinity, which may hide from min and max.
        is_finite = math.isfinite(sum(numbers))
    except OverflowError:
        return False
    return (
        is_finite
        and min(numbers) >= -_MAX_COORDINATE
        and max(numbers) <= _MAX_COORDINATE
    )


def _parse_rle(rle: dict, flaws: Counter) -> dict:
    """Return an RLE whose size and counts are whole numbers or text."""
    size = _whole_numbers(rle.get('size'))
    if size is None or len(size) != 2:
        raise ValueError(
            f"RLE with 'size' {short(rle.get('size'))}, expected "
            '[height, width]'
        )
    counts = rle.get('counts')
    if not isinstance(counts, (str, bytes)):
        counts = _whole_numbers(counts)
    if counts is None:
        raise ValueError(
            f"RLE with 'counts' {short(rle.get('counts'))}, expected COCO's "
            'text or a list of whole numbers, 0 or more'
        )
    if isinstance(counts, list) and counts is not rle['counts']:
        flaws['odd numbers'] += 1
    return dict(size=size, counts=counts)


def _whole_numbers(values: Any) -> list[int] | None:
    """Return whole numbers, 0 or more; the same list where it holds such."""
    if not isinstance(values, (list, tuple)):
        return None
    if isinstance(values, list) and set(map(type, values)) <= {int}:
        numbers: list = values
    else:
        numbers = [to_whole(value) for value in values]
    if None in numbers or min(numbers, default=0) < 0:
        return None
    return numbers


def draw_mask(
    segmentation: str | dict | list, height: int, width: int
) -> np.ndarray:
    """Draw a segmentation, whatever its flaws; see ``draw_with_flaws``."""
    return draw_with_flaws(segmentation, height, width)[0]


def draw_with_flaws(
    segmentation: str | dict | list, height: int, width: int
) -> tuple[np.ndarray, Counter]:
    """Draw a segmentation.

    Args:
        segmentation: What ``parse_segmentation`` takes, or the path of a PNG
            whose pixels other than 0 are meant.
        height: Height of the image.
        width: Width of the image.

    Returns:
        The (height, width) mask, uint8, 0 or 1, and how many parts of the
        segmentation have which of ``FLAWS``.
    """
    if isinstance(segmentation, str):
        labels = read_labels(segmentation, height, width)
        return (labels != 0).astype(np.uint8), Counter()
    polygons, rles, flaws = parse_segmentation(segmentation)
    if not 0 < height * width <= MAX_PIXELS or height < 0:
        raise ValueError(
            f'its image has {short(height)} x {short(width)} pixels, expected '
            f'1 to {MAX_PIXELS:,}'
        )
    rles = [_compress(rle, height, width) for rle in rles]
    if polygons:
        _check_outlines(polygons)
        if outside := _count_outside(polygons, height, width):
            flaws['polygons outside'] = outside
        rles += coco_mask.frPyObjects(polygons, height, width)
    if not rles:
        return np.zeros((height, width), np.uint8), flaws
    while len(rles) > _PACK:
        packs = range(0, len(rles), _PACK)
        rles = [coco_mask.merge(rles[i : i + _PACK]) for i in packs]
    return coco_mask.decode(coco_mask.merge(rles)), flaws


def encode_mask(mask: np.ndarray) -> dict:
    """Return an (H, W) mask as COCO's compressed RLE."""
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=list(rle['size']), counts=rle['counts'].decode())


def _count_outside(polygons: list[np.ndarray], height: int, width: int) -> int:
    """Count polygons that leave the image far."""
    x_slack, y_slack = _TOLERANCE * width, _TOLERANCE * height
    return sum(
        polygon[::2].min() < -x_slack
        or polygon[::2].max() > width + x_slack
        or polygon[1::2].min() < -y_slack
        or polygon[1::2].max() > height + y_slack
        for polygon in polygons
    )


def _check_outlines(polygons: list[np.ndarray]) -> None:
    """Raise where pycocotools would walk too far along the polygons."""
    numbers = np.concatenate(polygons)
    # Most are small enough for their lengths not to matter.
    if numbers.size * (np.ptp(numbers) + 1) <= _MAX_OUTLINE:
        return
    length = 0.0
    for polygon in polygons:
        corners = polygon.reshape(-1, 2)
        steps = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1)
        length += float(steps.sum()) + len(corners)
    if length > _MAX_OUTLINE:
        raise ValueError(
            f'its outlines are {length:,.0f} pixels long, expected at most '
            f'{_MAX_OUTLINE:,}; write such a mask as RLE or PNG'
        )


def read_labels(path: str, height: int, width: int) -> np.ndarray:
    """Read a PNG of one channel, or with a palette.

    Args:
        path: Where the file is, perhaps in a tar shard.
        height: Height of the image that it belongs to.
        width: Width of that image.

    Returns:
        The (height, width) numbers that the file holds for its pixels: grey
        values, or places in the palette.
    """
    content = read_bytes(path, fileio.get)
    return decode_labels(content, path, height, width)


def decode_labels(
    content: bytes, path: str, height: int, width: int
) -> np.ndarray:
    """Do the same with the bytes of a file, which messages call ``path``."""
    try:
        with Image.open(BytesIO(content)) as image:
            _check_labels(path, image, height, width)
            return np.asarray(image)
    except _WrongLabels as error:
        raise ValueError(str(error)) from None
    # Pillow raises all sorts of errors at damaged files.
    except Exception as error:
        raise ValueError(
            f'{path} is not a complete PNG ({len(content)} bytes)'
        ) from error


class _WrongLabels(Exception):
    """A whole image file, but no mask of this image."""


def _check_labels(
    path: str, image: Image.Image, height: int, width: int
) -> None:
    """Raise unless a PNG is a mask of its image, before it is decoded."""
    channels = len(image.getbands())
    if image.format != 'PNG':
        raise _WrongLabels(
            f'{path} is a {image.format} file; save it as PNG, which keeps '
            'every pixel as it is'
        )
    if channels != 1:
        raise _WrongLabels(
            f'{path} has {channels} channels; save it with one '
            "(Pillow: image.convert('L')), where 0 is background"
        )
    if image.size != (width, height):
        raise _WrongLabels(
            f'{path} is {image.size[1]}x{image.size[0]} (height x width), '
            f'its image {height}x{width} as stored, without EXIF rotation; '
            'both must have the same size'
        )


def _compress(rle: dict, height: int, width: int) -> dict:
    """Return the RLE in compressed form, its size and length checked."""
    counts = rle['counts']
    if rle['size'] != [height, width]:
        raise ValueError(
            f'RLE of size {short(rle["size"])} in an image of size '
            f'{[height, width]} (height, width); {_RLE}'
        )
    is_text = isinstance(counts, (str, bytes))
    runs = _read_runs(counts) if is_text else counts
    if min(runs, default=0) < 0:
        raise ValueError(f'RLE counts hold a negative number; {_RLE}')
    if sum(runs) != height * width:
        raise ValueError(
            f'RLE counts {short(sum(runs))} pixels in an image of '
            f'{height * width}; {_RLE}'
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
    if isinstance(counts, str):
        counts = counts.encode('utf-8', 'surrogatepass')
    for byte in counts:
        code = byte - 48
        if not 0 <= code < 64:
            raise ValueError(f'RLE counts hold the byte {byte}; {_RLE}')
        # Five bits of the number, then: more follow; the last tells the sign.
        value |= (code & 31) << shift
        shift += 5
        if shift > _MAX_BITS:
            raise ValueError(
                f'RLE counts hold a number of {shift} bits; {_RLE}'
            )
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        # From the fourth on, a number is the difference to the last but one.
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError(f'RLE counts break off; {_RLE}')
    return runs
