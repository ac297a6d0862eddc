"""Reading the annotation files of the RefCOCO family, safely.

A data set is a folder with ``instances.json`` (COCO format: where things are)
and ``refs(<split_by>).p`` (a pickled list: their expressions). The
pickle comes from the internet: ``pickles`` reads plain data only.

gRefCOCO's list is ``grefs(<split_by>).json``, or ``.p``. There ``ann_id`` is
a list, of which all annotations are meant, and ``[-1]`` for no-target
expressions; a single number is a list of one. Source: ``grefer.py`` and
``grefcoco.py`` of
https://github.com/henghuiding/ReLA/tree/a389648e8054/gres_model/data/datasets
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.logging import print_log

from .instances import check_image_entry, load_instances
from .missing import READERS, describe_refs
from .pickles import load_plain_pickle
from .values import PREPARE, Id, load_json, read_expression, read_id, short

_REF_KEYS = ('ref_id', 'ann_id', 'image_id', 'split', 'sentences')
# What ``ann_id`` holds, in gRefCOCO, in the place of an annotation.
_NO_TARGET = -1
# Numbers and letters that a refs file may hold per byte: without lists and
# texts that many refs share, it holds less than one.
_MOST_PER_BYTE = 16


class Entry(NamedTuple):
    """One ref of a refs file, its ids read; its sentences are as they were.

    Attributes:
        ref_id: Its number.
        ann_ids: Annotations that it refers to: one, but in gRefCOCO any
            number.
        image_id: Its image.
        split: Such as ``train``.
        sentences: For ``read_sentence``.
    """

    ref_id: Id
    ann_ids: list[Id]
    image_id: Id
    split: str
    sentences: list


class Ref(NamedTuple):
    """One referent and what people said about it.

    Attributes:
        ref_id: Number of the ref in the refs file.
        annotations: Its COCO annotations: one, but in gRefCOCO any number.
        image: The COCO entry of its image.
        sentences: ``dict(sent_id=..., expression=...)``, at least one; the
            expression is stripped and in lower case.
    """

    ref_id: Id
    annotations: list[dict]
    image: dict
    sentences: list[dict]

    @property
    def ann_ids(self) -> list[Id]:
        """Numbers of the annotations."""
        return [annotation['id'] for annotation in self.annotations]


def is_generalized(folder: str | Path, split_by: str) -> bool:
    """Tell whether a folder holds gRefCOCO's kind of files and no other."""
    usual = find_refs(folder, split_by)
    return not usual.is_file() and find_refs(folder, split_by, True).is_file()


def find_refs(
    folder: str | Path, split_by: str, generalized: bool = False
) -> Path:
    """Return where the refs of a data set are, or should be.

    Args:
        folder: Folder of the data set, such as ``data/refcoco``.
        split_by: Who made the split: the name in brackets.
        generalized: Whether it is ``grefs(<split_by>).json`` (or ``.p``) of
            gRefCOCO instead of ``refs(<split_by>).p``.
    """
    if not generalized:
        return Path(folder) / f'refs({split_by}).p'
    path, pickled = (
        Path(folder) / f'grefs({split_by}){suffix}'
        for suffix in ('.json', '.p')
    )
    return pickled if pickled.is_file() and not path.is_file() else path


def load_refs(path: str | Path, generalized: bool = False) -> list[Entry]:
    """Read a refs file: every ref of every split."""
    entries = []
    for entry in read_refs(path, generalized):
        if isinstance(entry, ValueError):
            raise entry
        entries.append(entry)
    return entries


def read_refs(
    path: str | Path, generalized: bool = False
) -> Iterator[Entry | ValueError]:
    """Read a refs file: every ref, or what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(describe_refs(path))
    refs = (load_json if path.suffix == '.json' else load_plain_pickle)(path)
    if not isinstance(refs, (list, tuple)):
        raise ValueError(
            f'{path} holds a {type(refs).__name__}, expected a list of refs: '
            f'{PREPARE}'
        )
    _check_family(refs, path, generalized)
    extent, most = 0, _MOST_PER_BYTE * path.stat().st_size
    for number, ref in enumerate(refs):
        try:
            entry = _read_ref(ref, number, generalized)
        except ValueError as error:
            yield ValueError(f'{path}: {error}: {PREPARE}')
            continue
        extent += len(entry.ann_ids) + _extent(entry.sentences)
        if extent > most:
            raise ValueError(
                f'{path}: its refs share so many sentences that they hold '
                f'over {_MOST_PER_BYTE} characters for each byte of the file; '
                f'download it again: {PREPARE}'
            )
        yield entry


def _extent(sentences: list) -> int:
    """Count sentences and their characters, where they have such."""
    texts = (s.get('sent') for s in sentences if isinstance(s, dict))
    return len(sentences) + sum(len(t) for t in texts if isinstance(t, str))


def _read_ref(ref: Any, number: int, generalized: bool) -> Entry:
    """Return a ref with its ids read."""
    missing = (
        [key for key in _REF_KEYS if key not in ref]
        if isinstance(ref, dict)
        else _REF_KEYS
    )
    if missing:
        raise ValueError(
            f'entry {number} lacks {", ".join(missing)}; expected a ref in '
            'the format of the REFER tool'
        )
    ref_id = read_id(ref['ref_id'], f'ref_id of entry {number}')
    name = f'ref_id {short(ref_id)}'
    for key, kinds, expected in (
        ('split', str, 'text, such as train'),
        ('sentences', (list, tuple), 'a list of sentences'),
    ):
        if not isinstance(ref[key], kinds):
            raise ValueError(
                f'{name}: {key} is {short(ref[key])}, expected {expected}'
            )
    return Entry(
        ref_id,
        _read_targets(ref, name, generalized),
        read_id(ref['image_id'], f'{name}: image_id'),
        ref['split'],
        ref['sentences'],
    )


def _read_targets(ref: dict, name: str, generalized: bool) -> list[Id]:
    """Return the ids of the ref's annotations, none for no target."""
    given, flag = ref['ann_id'], ref.get('no_target')
    many = given if isinstance(given, (list, tuple)) else [given]
    ids = [read_id(one, f'{name}: ann_id') for one in many]
    if not generalized:
        if len(ids) != 1:
            raise ValueError(
                f'{name} has ann_id {short(given)}, expected one annotation'
            )
        return ids
    if ids == [_NO_TARGET]:
        ids = []
    if _NO_TARGET in ids or (flag is not None and bool(flag) == bool(ids)):
        raise ValueError(
            f'{name} has ann_id {short(given)} and no_target {short(flag)}; '
            f'expected [{_NO_TARGET}] and true where the expressions name '
            'nothing, else the ids of annotations and false'
        )
    return ids


def load_split(
    folder: str | Path,
    split_by: str,
    split: str,
    skip_sent_ids: Iterable[Id] = (),
    generalized: bool = False,
) -> list[Ref]:
    """Read the refs of one split, joined with annotations and image.

    Args:
        folder: Folder of the data set, such as ``data/refcoco``.
        split_by: Who made the split: the name in ``refs(<split_by>).p``.
        split: Name of the split, such as ``val``.
        skip_sent_ids: Sentences to leave out. A ref that keeps none is left
            out as well.
        generalized: Whether the files are those of gRefCOCO.

    Returns:
        The refs that have at least one sentence, in the file's order. Those
        that have none in the file are counted in a warning.
    """
    refs_path = find_refs(folder, split_by, generalized)
    instances_path = Path(folder) / 'instances.json'
    images, annotations = load_instances(instances_path)
    all_refs = load_refs(refs_path, generalized)
    refs = [ref for ref in all_refs if ref.split == split]
    if not refs:
        present = sorted({short(ref.split)[1:-1] for ref in all_refs})
        raise ValueError(
            f'{refs_path} has no split {split!r}; set split to one of: '
            f'{", ".join(present)}'
        )
    _check_links(refs, images, annotations, refs_path, instances_path)
    skipped = frozenset(read_id(i, 'skip_sent_ids') for i in skip_sent_ids)
    sentences = [_clean_sentences(ref, skipped, refs_path) for ref in refs]
    _warn_of_sentences(refs, sentences, refs_path)
    try:
        used = {ref.image_id: images[ref.image_id] for ref in refs}
        used = {name: check_image_entry(e) for name, e in used.items()}
    except ValueError as error:
        raise ValueError(f'{instances_path}: {error}: {PREPARE}') from error
    return [
        Ref(
            ref.ref_id,
            [annotations[ann_id] for ann_id in ref.ann_ids],
            used[ref.image_id],
            said,
        )
        for ref, said in zip(refs, sentences, strict=True)
        if said
    ]


def _check_family(refs: Iterable, path: Path, generalized: bool) -> None:
    """Raise where RefCOCO is read as gRefCOCO, or the other way round."""
    given = [ref.get('ann_id') for ref in refs if isinstance(ref, dict)]
    has_lists = any(isinstance(one, (list, tuple)) for one in given)
    if not given or has_lists == generalized:
        return
    if has_lists:
        content, family = 'lists of annotations per ref (gRefCOCO)', 'grefs'
    else:
        content, family = 'one annotation per ref (RefCOCO)', 'refs'
    raise ValueError(
        f'ann_id in {path} holds {content}, which needs {READERS[family]}: '
        f'{PREPARE}'
    )


def _warn_of_sentences(
    refs: list[Entry], sentences: list[list[dict]], path: Path
) -> None:
    """Count refs of which nobody said anything, and ids that repeat."""
    silent = [ref.ref_id for ref in refs if not ref.sentences]
    times = Counter(one['sent_id'] for said in sentences for one in said)
    repeated = [name for name in times if times[name] > 1]
    for found, what in (
        (silent, 'refs have no sentences and are left out: ref_id'),
        (repeated, 'sent_ids occur more than once: sent_id'),
    ):
        if found:
            print_log(
                f'{path}: {len(found)} {what} {_some(found)}',
                logger='current',
                level=logging.WARNING,
            )


def read_sentence(sentence: Any, ref_id: Id) -> tuple[Id, Any]:
    """Return the id of a sentence and its text, yet to be checked."""
    try:
        sent_id, text = sentence['sent_id'], sentence['sent']
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"a sentence of ref_id {short(ref_id)} lacks 'sent_id' or 'sent' "
            f'({short(sentence)}); expected the format of the REFER tool'
        ) from error
    return read_id(sent_id, f'sent_id of ref_id {short(ref_id)}'), text


def _clean_sentences(
    ref: Entry, skipped: Collection[Id], path: Path
) -> list[dict]:
    """Return the ref's sentences, lower-cased and stripped."""
    sentences = []
    for sentence in ref.sentences:
        try:
            sent_id, text = read_sentence(sentence, ref.ref_id)
            if sent_id in skipped:
                continue
            where = f'ref_id {short(ref.ref_id)}, sent_id {short(sent_id)}'
            if text is None or (isinstance(text, str) and not text.strip()):
                raise ValueError(
                    f'the expression of {where} is empty ({text!r:.9}), so '
                    'there is no query; to leave it out, pass '
                    f'skip_sent_ids=[{short(sent_id)}]'
                )
            expression = read_expression(text, f'the expression of {where}')
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
        sentences.append(dict(sent_id=sent_id, expression=expression))
    return sentences


def _check_links(
    refs: list[Entry],
    images: dict,
    annotations: dict,
    refs_path: Path,
    instances_path: Path,
) -> None:
    """Raise where a ref points at something the instances file lacks."""

    def reject(wrong: Callable[[Entry], bool], what: str) -> None:
        lost = [ref for ref in refs if wrong(ref)]
        if not lost:
            return
        ann_ids = (
            ref.ann_ids[0] if len(ref.ann_ids) == 1 else ref.ann_ids
            for ref in lost
        )
        raise ValueError(
            f'{refs_path}: {what} in {instances_path} for {len(lost)} refs: '
            f'ref_id {_some(ref.ref_id for ref in lost)}; ann_id '
            f'{_some(ann_ids)}; image_id '
            f'{_some(ref.image_id for ref in lost)}. Both files must come '
            f'from the same download: {PREPARE}'
        )

    def is_elsewhere(ref: Entry) -> bool:
        of = (annotations[i].get('image_id') for i in ref.ann_ids)
        return any(image_id != ref.image_id for image_id in of)

    reject(
        lambda ref: any(i not in annotations for i in ref.ann_ids),
        'no annotation',
    )
    reject(lambda ref: ref.image_id not in images, 'no image')
    reject(is_elsewhere, 'an annotation of another image')


def _some(values: Iterable, limit: int = 5) -> str:
    """Write out the first few values, as far as they tell 1 from "1"."""
    values = list(values)
    more = ', ...' if len(values) > limit else ''
    return ', '.join(short(value) for value in values[:limit]) + more
