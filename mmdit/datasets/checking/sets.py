"""Finding data sets of the RefCOCO family and checking them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations
from pathlib import Path
from pickle import PickleError
from typing import NamedTuple

from ..grefcoco import GRefCOCODataset
from ..reading.refs import find_refs, is_generalized
from ..reading.values import short
from ..refcoco import RefCOCODataset
from .items import Job, Track, check_item, run
from .refs import (
    Source,
    count,
    link_findings,
    load_source,
    overlap_findings,
    sentence_findings,
)
from .report import Finding, SetReport

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
    folders = {path.parent.name for path in root.glob('*/*refs(*)*')}
    folders |= {name for name in IMAGE_FOLDERS if (root / name).is_dir()}
    here = [name for name in IMAGE_FOLDERS if name in folders]
    here += sorted(folders.difference(IMAGE_FOLDERS))
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
    names = {
        path.name.split('(')[1].split(')')[0]
        for path in folder.glob('*refs(*)*')
    }
    return sorted(
        name
        for name in names
        if find_refs(folder, name, is_generalized(folder, name)).is_file()
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
    turn_by_exif: bool = False,
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
        turn_by_exif: As in ``LoadReferImage``.
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
    folder = None
    if not skip_images:
        usual = IMAGE_FOLDERS.get(dataset, RefCOCODataset.OTHER_IMAGES)
        folder = image_folder or root / usual
    skipped = (('images', skip_images), ('masks', skip_masks))
    report.unchecked += [name for name, is_skipped in skipped if is_skipped]
    jobs = list(_jobs(source, folder, skip_masks, turn_by_exif))
    if jobs and len(report.unchecked) < 2:
        name = f'{report.name}: images and masks'
        results = run(check_item, jobs, workers, track, name)
        findings = [finding for found, _ in results for finding in found]
        report.add(_judge_empty_masks(findings, source))
    return report


def _jobs(
    source: Source, folder: Path | None, skip_masks: bool, turn: bool
) -> Iterator[Job]:
    """Return a job for each image that a ref needs."""
    ann_ids: dict = {image_id: {} for image_id in source.entries}
    for ref in source.refs if not skip_masks else ():
        if ref.image_id in ann_ids:
            of_image = ann_ids[ref.image_id]
            known = [i for i in ref.ann_ids if i in source.annotations]
            of_image.update(dict.fromkeys(known))
    for image_id, entry in source.entries.items():
        masks = [
            (_name(i), source.annotations[i].get('segmentation'), False)
            for i in ann_ids[image_id]
        ]
        path = None if folder is None else str(folder / entry['file_name'])
        size = entry['height'], entry['width']
        name = f'image_id {short(image_id)}'
        yield Job([name], path, size, masks, turn)


def _name(ann_id: int | str) -> str:
    return f'ann_id {short(ann_id)}'


def _judge_empty_masks(
    findings: list[Finding], source: Source
) -> Iterator[Finding]:
    """Tell empty masks from masks of which only a part is empty."""
    empty = {f.where for f in findings if f.kind == 'empty masks'}
    names = [[_name(i) for i in ref.ann_ids] for ref in source.refs]
    fatal = {n for part in names if empty.issuperset(part) for n in part}
    for finding in findings:
        if finding.kind == 'empty masks' and finding.where not in fatal:
            finding = finding._replace(kind='empty parts')
        yield finding


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
