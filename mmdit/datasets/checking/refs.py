"""Checks of the refs: what was said, of what, in which split."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..reading.instances import check_image_entry, read_instances
from ..reading.refs import (
    Entry,
    find_refs,
    is_generalized,
    read_refs,
    read_sentence,
)
from ..reading.values import read_expression, short
from .counts import Counts
from .report import Finding, SetReport


class Source(NamedTuple):
    """The files of a data set; ``entries`` are the images that are used."""

    images: dict
    annotations: dict
    refs: list[Entry]
    entries: dict


def load_source(folder: Path, split_by: str, report: SetReport) -> Source:
    """Read the files; what is none of its kind is reported and left out."""
    generalized = is_generalized(folder, split_by)
    path = find_refs(folder, split_by, generalized)
    instances = folder / 'instances.json'
    images, annotations, problems = read_instances(instances)
    report.add(('unusable ids', str(instances), case) for case in problems)
    refs, entries = [], {}
    for ref in read_refs(path, generalized):
        if isinstance(ref, ValueError):
            report.add([('malformed refs', str(ref))])
        else:
            refs.append(ref)
    for image_id in dict.fromkeys(ref.image_id for ref in refs):
        try:
            if image_id in images:
                entries[image_id] = check_image_entry(images[image_id])
        except ValueError as error:
            report.add([('unusable image entries', str(error))])
    return Source(images, annotations, refs, entries)


def count(source: Source, report: SetReport) -> None:
    """Fill in the counts of each split and the images in them."""
    by_split: dict[str, list[Entry]] = {}
    for ref in source.refs:
        by_split.setdefault(ref.split, []).append(ref)
    for split in sorted(by_split, key=_split_order):
        report.counts[split] = _counts(by_split[split])
        used = {ref.image_id for ref in by_split[split]}
        report.images[split] = {
            source.entries[image_id]['file_name']
            for image_id in used & source.entries.keys()
        }
    report.counts['all'] = _counts(source.refs)


def _split_order(split: str) -> tuple:
    first = ('train', 'val')
    return (first.index(split) if split in first else len(first)), split


def _counts(refs: list[Entry]) -> Counts:
    return Counts(
        refs=len(refs),
        sentences=sum(len(ref.sentences) for ref in refs),
        images=len({ref.image_id for ref in refs}),
    )


def link_findings(source: Source) -> Iterator[Finding]:
    """Find refs that point at nothing, or at the wrong thing."""
    for ref in source.refs:
        name, image_id = f'ref_id {short(ref.ref_id)}', ref.image_id
        is_known = image_id in source.images
        if not is_known:
            case = f'image_id {short(image_id)}'
            yield Finding('refs without image entry', name, case)
        for ann_id in ref.ann_ids:
            case = f'ann_id {short(ann_id)}'
            annotation = source.annotations.get(ann_id)
            if annotation is None:
                yield Finding('refs without annotation', name, case)
            elif is_known and annotation.get('image_id') != image_id:
                other = short(annotation.get('image_id'))
                yield Finding(
                    "refs with another image's annotation",
                    name,
                    f'{case} is of image_id {other}, not {short(image_id)}',
                )


def sentence_findings(refs: list[Entry]) -> Iterator[Finding]:
    """Find sentences that are empty or cannot be told apart."""
    times: Counter = Counter()
    for ref in refs:
        name = f'ref_id {short(ref.ref_id)}'
        if not ref.sentences:
            yield Finding('refs without sentences', name)
        for sentence in ref.sentences:
            try:
                sent_id, text = read_sentence(sentence, ref.ref_id)
            except ValueError as error:
                yield Finding('malformed refs', str(error))
                continue
            times[sent_id] += 1
            where = f'sent_id {short(sent_id)} of {name}'
            if text is None or (isinstance(text, str) and not text.strip()):
                yield Finding('empty expressions', where)
                continue
            try:
                read_expression(text, 'it')
            except ValueError as error:
                yield Finding('unusable expressions', where, str(error))
    for sent_id, number in times.items():
        if number > 1:
            case = f'sent_id {short(sent_id)}, {number} times'
            yield Finding('duplicated sent_ids', case)


def overlap_findings(report: SetReport) -> Iterator[Finding]:
    """Find images that are trained on and held out."""
    known = ' (known)' if report.split_by == 'google' else ''
    for split, names in report.images.items():
        if split == 'train':
            continue
        for name in sorted(names & report.images.get('train', set())):
            kind = f'images in train and another split{known}'
            yield Finding(kind, f'{name} in {split}')
