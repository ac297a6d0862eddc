"""Checks of what a data set consists of besides text: images and masks.

They take most of the time, so they are spread over processes.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from PIL import Image

from ..reading.segmentations import draw_mask
from .refs import Source
from .report import Finding

# How far a polygon may leave the image, as a share of the image's side: more
# than rounding, less than the polygons of another image.
_TOLERANCE = 0.1
_MIN_POLYGON = 6
# Results are handed over in packs, which costs less than one by one.
_PACK = 64

Track = Callable[[Iterable, int, str], Iterable]


def check_image(job: tuple) -> list[Finding]:
    """Compare an image's header with its entry in instances.json."""
    path, *expected = job
    try:
        with Image.open(path) as image:
            got = list(image.size)
    except FileNotFoundError:
        return [('missing images', path)]
    except (OSError, ValueError, SyntaxError) as error:
        return [('unreadable images', f'{path}: {error}')]
    if got == expected:
        return []
    sizes = [f'{width}x{height}' for width, height in (got, expected)]
    case = f'{path}: {sizes[0]}, instances.json says {sizes[1]}'
    return [('images of another size', case)]


def check_mask(job: tuple) -> list[Finding]:
    """Draw the mask of one annotation."""
    name, segmentation, height, width = job
    findings = []
    try:
        polygons = [p for p in segmentation if isinstance(p, (list, tuple))]
        if short := sum(len(p) < _MIN_POLYGON for p in polygons):
            case = (
                f'{name}: {short} of {len(polygons)} polygons have fewer '
                f'than {_MIN_POLYGON} numbers'
            )
            findings.append(('short polygons', case))
        # Not drawn either: pycocotools' memory grows with the distance.
        if far := _far_outside(polygons, height, width):
            return [*findings, ('masks far outside', f'{name}: {far}')]
        empty = not draw_mask(segmentation, height, width).any()
    # pycocotools raises bare Exceptions.
    except Exception as error:
        case = f'{name}: {type(error).__name__}: {error}'
        return [*findings, ('undrawable masks', case)]
    return [*findings, ('empty masks', name)] if empty else findings


def _far_outside(polygons: list, height: int, width: int) -> str:
    """Say how far polygons leave the image, if they leave it far."""
    for axis, size in ((0, width), (1, height)):
        for polygon in polygons:
            values = polygon[axis::2]
            if not all(map(math.isfinite, values)):
                raise ValueError('a polygon holds infinity or NaN')
            low, high = min(values, default=0), max(values, default=0)
            slack = _TOLERANCE * size
            if low < -slack or high > size + slack:
                side = ('width', 'height')[axis]
                return (
                    f'reaches from {"xy"[axis]} {low:g} to {high:g} in an '
                    f'image of {side} {size}'
                )
    return ''


def image_jobs(source: Source, folder: Path) -> list[tuple]:
    """Return (path, width, height) of each image that a ref needs."""
    used = {ref['image_id']: None for ref in source.refs}
    entries = [source.images[i] for i in used if i in source.images]
    return [
        (
            str(folder / str(e.get('file_name'))),
            e.get('width'),
            e.get('height'),
        )
        for e in entries
    ]


def mask_jobs(source: Source) -> list[tuple]:
    """Return (name, segmentation, height, width) of each referent."""
    jobs = {}
    for ref, ann_ids in zip(source.refs, source.targets, strict=True):
        image = source.images.get(ref['image_id'])
        for ann_id in ann_ids:
            if image is None or ann_id not in source.annotations:
                continue
            segmentation = source.annotations[ann_id].get('segmentation')
            size = image.get('height'), image.get('width')
            jobs[ann_id] = (_name(ann_id), segmentation, *size)
    return list(jobs.values())


def _name(ann_id: int | str) -> str:
    return f'ann_id {ann_id}'


def judge_empty_masks(
    findings: list[Finding], source: Source
) -> Iterator[Finding]:
    """Tell empty masks from masks of which only a part is empty."""
    empty = {case for kind, case in findings if kind == 'empty masks'}
    names = [[_name(i) for i in ann_ids] for ann_ids in source.targets]
    fatal = {n for part in names if empty.issuperset(part) for n in part}
    for kind, case in findings:
        is_part = kind == 'empty masks' and case not in fatal
        yield ('empty parts' if is_part else kind), case


def run(
    check: Callable[[tuple], list[Finding]],
    jobs: list[tuple],
    workers: int,
    track: Track,
    description: str,
) -> Iterator[Finding]:
    """Do all jobs in processes of their own, which survive a crash."""
    done = 0
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(check, jobs, chunksize=_PACK)
        try:
            for findings in track(results, len(jobs), description):
                yield from findings
                done += 1
        except BrokenProcessPool:
            yield (
                'undrawable masks',
                f'a process died at {jobs[done][0]} or shortly after; the '
                f'last {len(jobs) - done} of {len(jobs)} are not checked',
            )
