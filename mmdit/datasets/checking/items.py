"""Checks of what a data set holds besides text: images and masks.

Both are loaded as training loads them. They take most of the time, so they
are spread over processes.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np

from ..reading.images import TURNED, near_path
from ..reading.segmentations import FLAWS, draw_with_flaws, read_labels
from ..transforms.loading import LoadReferImage
from ..workers import end_with_parent
from .report import Finding

# Results are handed over in packs, which costs less than one by one.
_PACK = 16

Track = Callable[[Iterable, int, str], Iterable]


class Job(NamedTuple):
    """An image and the masks of all that refers to something in it.

    Attributes:
        names: What findings about the image call it.
        path: Where it is; None to leave it alone.
        size: Its (height, width) as annotated, or None.
        masks: (name, segmentation, no_target) each.
        turn_by_exif: As in ``LoadReferImage``.
    """

    names: list[str]
    path: str | None
    size: tuple[int, int] | None
    masks: list[tuple[str, str | dict | list, bool]]
    turn_by_exif: bool = False


def check_item(job: Job) -> tuple[list[Finding], list[float]]:
    """Load an image and draw its masks.

    Returns:
        The findings, and the share of the image that each mask covers.
    """
    found: list[Finding] = []
    size, areas = job.size, list[float]()
    if job.path is not None:
        got, problems = _load(job.path, job.turn_by_exif)
        if got and size and got != size:
            case = '{1}x{0}, annotated as {3}x{2}'.format(*got, *size)
            problems.append(('images of another size', f'{job.path}: {case}'))
        found += [
            Finding(kind, name, case)
            for kind, case in problems
            for name in job.names
        ]
        size = size or got
    if size is None:
        return found, areas
    height, width = size
    for name, mask, no_target in job.masks:
        area, problems = _check_mask(mask, height, width, no_target)
        found += [Finding(kind, name, case) for kind, case in problems]
        if area:
            areas.append(area / (height * width))
    return found, areas


def _load(path: str, turn: bool) -> tuple[tuple[int, int] | None, list]:
    """Return (height, width) if it can be read, and (kind, case) pairs."""
    try:
        image, turned = LoadReferImage().load(path, path, turn)
    except FileNotFoundError:
        near = near_path(path)
        hint = f'{path}, but there is {near}' if near else path
        return None, [('missing images', hint)]
    # Decoders raise all sorts of errors at damaged files.
    except Exception as error:
        return None, [('unreadable images', str(error))]
    problems = (
        [] if turned == 1 else [('turned images', f'{path} {TURNED[turned]}')]
    )
    return image.shape[:2], problems


def _check_mask(
    mask: str | dict | list, height: int, width: int, no_target: bool
) -> tuple[int, list[tuple[str, str]]]:
    """Return the mask's area in pixels and (kind, case) of its problems."""
    try:
        drawn, flaws = draw_with_flaws(mask, height, width)
    except FileNotFoundError:
        near = near_path(str(mask))
        hint = f'{mask}, but there is {near}' if near else str(mask)
        return 0, [('missing masks', hint)]
    # pycocotools raises bare Exceptions.
    except Exception as error:
        return 0, [('undrawable masks', str(error))]
    parts = 1 if isinstance(mask, dict) else len(mask)
    found = [
        (kind, f'{number} of {parts} parts {FLAWS[kind]}')
        for kind, number in flaws.items()
    ]
    area = int(np.count_nonzero(drawn))
    name = f'{mask}, ' if isinstance(mask, str) else ''
    if not area and not no_target:
        found.append(('empty masks', f'{name}0 of {width}x{height} pixels'))
    if area == height * width:
        found.append(('full masks', f'{name}all of {width}x{height} pixels'))
    if isinstance(mask, str):
        values = np.unique(read_labels(mask, height, width)).tolist()
        values = [value for value in values if value]
        if len(values) > 1:
            case = f'{len(values)} values, {values[0]} to {values[-1]}'
            found.append(('masks of many values', f'{mask} holds {case}'))
    return area, found


def run(
    check: Callable[[Job], tuple[list[Finding], list[float]]],
    jobs: list[Job],
    workers: int,
    track: Track,
    description: str,
) -> Iterator[tuple[list[Finding], list[float]]]:
    """Do all jobs in processes of their own, whose crash is a finding."""
    done = 0
    with ProcessPoolExecutor(workers, initializer=end_with_parent) as pool:
        results = pool.map(check, jobs, chunksize=_PACK)
        try:
            for result in track(results, len(jobs), description):
                yield result
                done += 1
        except BrokenProcessPool:
            case = (
                f'a process died here or shortly after; the last '
                f'{len(jobs) - done} of {len(jobs)} are not checked'
            )
            name = jobs[done].names[0]
            yield [Finding('undrawable masks', name, case)], []
