"""Checks of the refs: what was said, of what, in which split."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..grefcoco import GRefCOCODataset
from ..refer import (
    check_family,
    find_refs,
    load_instances,
    load_refs,
    target_ids,
)
from .counts import Counts
from .report import Finding, SetReport


class Source(NamedTuple):
    """The files of a data set; ``targets`` holds the ann_ids of each ref."""

    images: dict
    annotations: dict
    refs: list[dict]
    targets: list[list]


def load_source(folder: Path, split_by: str, report: SetReport) -> Source:
    """Read the files; refs that are no refs are reported and left out."""
    generalized = is_generalized(report.dataset)
    path = find_refs(folder, split_by, generalized)
    images, annotations = load_instances(folder / 'instances.json')
    all_refs = load_refs(path)
    check_family(all_refs, path, generalized)
    refs, targets = [], []
    for ref in all_refs:
        try:
            ann_ids = target_ids(ref, path, generalized)
            _check_types(ref, ann_ids)
        except (TypeError, ValueError) as error:
            report.add([('malformed refs', str(error))])
            continue
        refs.append(ref)
        targets.append(ann_ids)
    return Source(images, annotations, refs, targets)


def is_generalized(dataset: str) -> bool:
    """Tell whether a ref of the data set names any number of things."""
    return dataset in GRefCOCODataset.IMAGES


def _check_types(ref: dict, ann_ids: list) -> None:
    """Raise where a ref's values are not what the other checks rely on."""
    for key, expected in (('split', str), ('sentences', (list, tuple))):
        if not isinstance(ref[key], expected):
            raise TypeError(
                f'ref_id {ref["ref_id"]}: {key} is {ref[key]!r:.60}'
            )
    # RefCLEF numbers its annotations by strings.
    if not all(isinstance(i, (int, str)) for i in [ref['image_id'], *ann_ids]):
        raise TypeError(
            f'ref_id {ref["ref_id"]}: image_id is {ref["image_id"]!r:.60}, '
            f'ann_id {ref["ann_id"]!r:.60}'
        )


def count(source: Source, report: SetReport) -> None:
    """Fill in the counts of each split and the images in them."""
    by_split: dict[str, list[dict]] = {}
    for ref in source.refs:
        by_split.setdefault(ref['split'], []).append(ref)
    for split in sorted(by_split, key=_split_order):
        report.counts[split] = _counts(by_split[split])
        used = {ref['image_id'] for ref in by_split[split]}
        report.images[split] = {
            str(source.images[image_id].get('file_name'))
            for image_id in used & source.images.keys()
        }
    report.counts['all'] = _counts(source.refs)


def _split_order(split: str) -> tuple:
    first = ('train', 'val')
    return (first.index(split) if split in first else len(first)), split


def _counts(refs: list[dict]) -> Counts:
    return Counts(
        refs=len(refs),
        sentences=sum(len(ref['sentences']) for ref in refs),
        images=len({ref['image_id'] for ref in refs}),
    )


def link_findings(source: Source) -> Iterator[Finding]:
    """Find refs that point at nothing, or at the wrong thing."""
    for ref, ann_ids in zip(source.refs, source.targets, strict=True):
        name, image_id = f'ref_id {ref["ref_id"]}', ref['image_id']
        is_known = image_id in source.images
        if not is_known:
            yield 'refs without image entry', f'{name}: image_id {image_id}'
        for ann_id in ann_ids:
            case = f'{name}: ann_id {ann_id}'
            annotation = source.annotations.get(ann_id)
            if annotation is None:
                yield 'refs without annotation', case
            elif is_known and annotation.get('image_id') != image_id:
                yield (
                    "refs with another image's annotation",
                    f'{case} is of image_id {annotation.get("image_id")}, '
                    f'not {image_id}',
                )


def sentence_findings(refs: list[dict]) -> Iterator[Finding]:
    """Find sentences that cannot be asked or told apart."""
    times: Counter = Counter()
    for ref in refs:
        name = f'ref_id {ref["ref_id"]}'
        if not ref['sentences']:
            yield 'refs without sentences', name
        for sentence in ref['sentences']:
            try:
                sent_id, text = sentence['sent_id'], sentence['sent']
                times[sent_id] += 1
            except (KeyError, TypeError):
                yield 'malformed refs', f'{name}: sentence {sentence!r:.60}'
                continue
            if not isinstance(text, str) or not text.strip():
                yield 'empty expressions', f'sent_id {sent_id} of {name}'
    for sent_id, number in times.items():
        if number > 1:
            yield 'duplicated sent_ids', f'sent_id {sent_id}, {number} times'


def overlap_findings(report: SetReport) -> Iterator[Finding]:
    """Find images that are trained on and held out."""
    known = ' (known)' if report.split_by == 'google' else ''
    for split, names in report.images.items():
        if split == 'train':
            continue
        for name in sorted(names & report.images.get('train', set())):
            kind = f'images in train and another split{known}'
            yield kind, f'{name} in {split}'
