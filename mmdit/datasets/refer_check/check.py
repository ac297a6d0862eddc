"""Finding data sets and checking them."""

from collections.abc import Iterable, Sequence
from itertools import permutations
from pathlib import Path
from pickle import PickleError
from typing import NamedTuple

from ..grefcoco import GRefCOCODataset
from ..refcoco import RefCOCODataset
from ..refer import find_refs
from .files import (
    Track,
    check_image,
    check_mask,
    image_jobs,
    judge_empty_masks,
    mask_jobs,
    run,
)
from .refs import (
    count,
    is_generalized,
    link_findings,
    load_source,
    overlap_findings,
    sentence_findings,
)
from .report import SetReport

IMAGE_FOLDERS = {**RefCOCODataset.IMAGES, **GRefCOCODataset.IMAGES}
_USUAL_SPLIT_BY = {'refcocog': 'umd'}


class Leak(NamedTuple):
    """Images that one data set trains on and another holds out."""

    train: str
    held_out: str
    images: int
    train_images: int


def find_sets(
    root: Path, datasets: Sequence[str] = (), split_bys: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Return (dataset, split_by) of each data set to check.

    Args:
        root: Folder that holds the folder of each data set.
        datasets: Those to check, whether they are there or not; by default
            the ones that are there.
        split_bys: Who made the splits; by default whoever is there.
    """
    here = [name for name in IMAGE_FOLDERS if (root / name).is_dir()]
    sets = []
    for name in datasets or here:
        present = _present_splits(root / name)
        if split_bys:
            wanted = [
                split_by
                for split_by in split_bys
                if datasets or split_by in present
            ]
        else:
            wanted = present or [_USUAL_SPLIT_BY.get(name, 'unc')]
        sets += [(name, split_by) for split_by in wanted]
    return sets


def _present_splits(folder: Path) -> list[str]:
    """Return who made the splits that are there: the names in brackets."""
    generalized = is_generalized(folder.name)
    names = {
        path.name.split('(')[1].split(')')[0]
        for path in folder.glob('*refs(*)*')
    }
    return sorted(
        name
        for name in names
        if find_refs(folder, name, generalized).is_file()
    )


def check_set(
    root: Path,
    dataset: str,
    split_by: str,
    *,
    image_folder: Path | None = None,
    skip_images: bool = False,
    skip_masks: bool = False,
    workers: int = 1,
    track: Track = lambda items, total, description: items,
) -> SetReport:
    """Check one data set and report all that was found.

    Args:
        root: Folder that holds the folder of the data set.
        dataset: Name of that folder, such as ``refcoco``.
        split_by: Who made the split: the name in ``refs(<split_by>).p``.
        image_folder: Folder of the images, by default the usual one in
            ``root``.
        skip_images: Do not look at the image files.
        skip_masks: Do not draw the masks.
        workers: Number of processes.
        track: Shows progress: called with an iterable, its length and what is
            done; iterates over the same.
    """
    report = SetReport(dataset, split_by)
    try:
        source = load_source(root / dataset, split_by, report)
    except (OSError, ValueError, PickleError) as error:
        report.add([('unreadable files', str(error))])
        return report
    count(source, report)
    report.add(link_findings(source))
    report.add(sentence_findings(source.refs))
    report.add(overlap_findings(report))
    if skip_images:
        report.unchecked.append('images')
    else:
        folder = image_folder or root / IMAGE_FOLDERS[dataset]
        jobs = image_jobs(source, folder)
        name = f'{report.name}: images'
        report.add(run(check_image, jobs, workers, track, name))
    if skip_masks:
        report.unchecked.append('masks')
    else:
        jobs = mask_jobs(source)
        name = f'{report.name}: masks'
        findings = run(check_mask, jobs, workers, track, name)
        report.add(judge_empty_masks(list(findings), source))
    return report


def find_leaks(reports: Iterable[SetReport]) -> list[Leak]:
    """Return what each data set trains on and another one holds out."""
    leaks = []
    for first, second in permutations(reports, 2):
        train = first.images.get('train', set())
        shared = train & second.held_out_images
        if shared and first.dataset != second.dataset:
            leaks.append(
                Leak(first.name, second.name, len(shared), len(train))
            )
    return leaks
