"""Reading the annotation files of the RefCOCO family, safely.

A data set is a folder with ``instances.json`` (COCO format: where things are)
and ``refs(<split_by>).p`` (a pickled list: what people said about them). The
pickle comes from the internet: ``reading.pickles`` reads plain data only.

gRefCOCO's list is ``grefs(<split_by>).json``, or ``.p``. There ``ann_id`` is
a list, of which all annotations are meant, and ``[-1]`` where the expressions
name nothing in the image (``no_target`` true); a single number is a list of
one. Source: ``grefer.py`` and ``grefcoco.py`` of
https://github.com/henghuiding/ReLA/tree/a389648e8054/gres_model/data/datasets
"""

import json
import logging
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.logging import print_log

from .reading.pickles import load_plain_pickle

_PREPARE = 'see docs/prepare_data.md'
_REF_KEYS = ('ref_id', 'ann_id', 'image_id', 'split', 'sentences')
# What ``ann_id`` holds, in gRefCOCO, in the place of an annotation.
_NO_TARGET = -1
# Which class reads the files of which name.
_READERS = {
    family: f"type='{name}', as in configs/_base_/datasets/{config}.py"
    for family, name, config in (
        ('refs', 'RefCOCODataset', 'refcoco_512x512'),
        ('grefs', 'GRefCOCODataset', 'grefcoco_512x512'),
    )
}


class Ref(NamedTuple):
    """One referent and what people said about it.

    Attributes:
        ref_id: Number of the ref in the refs file.
        annotations: Its COCO annotations: one, but in gRefCOCO any number.
        image: The COCO entry of its image.
        sentences: ``dict(sent_id=..., expression=...)``, at least one; the
            expression is stripped and in lower case.
    """

    ref_id: int
    annotations: list[dict]
    image: dict
    sentences: list[dict]

    @property
    def ann_ids(self) -> list[int]:
        """Numbers of the annotations."""
        return [annotation['id'] for annotation in self.annotations]


def load_instances(path: str | Path) -> tuple[dict, dict]:
    """Read COCO's ``instances.json``: images and annotations, each by id."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist; expected the COCO-format annotations '
            f'there, next to refs(<split_by>).p: {_PREPARE}'
        )
    content = _load_json(path)
    try:
        images = {image['id']: image for image in content['images']}
        annotations = {ann['id']: ann for ann in content['annotations']}
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not in COCO format: expected lists 'images' and "
            f"'annotations' of entries with an 'id' ({error!r}): {_PREPARE}"
        ) from error
    return images, annotations


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


def load_refs(path: str | Path) -> list[dict]:
    """Read a refs file: every ref of every split, unchanged."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(_describe_missing(path))
    read = _load_json if path.suffix == '.json' else load_plain_pickle
    refs = read(path)
    if not isinstance(refs, (list, tuple)):
        raise ValueError(
            f'{path} holds a {type(refs).__name__}, expected a list of refs: '
            f'{_PREPARE}'
        )
    for number, ref in enumerate(refs):
        missing = (
            [key for key in _REF_KEYS if key not in ref]
            if isinstance(ref, dict)
            else _REF_KEYS
        )
        if missing:
            raise ValueError(
                f'{path}: entry {number} lacks {", ".join(missing)}; expected '
                f'a ref in the format of the REFER tool: {_PREPARE}'
            )
    return list(refs)


def load_split(
    folder: str | Path,
    split_by: str,
    split: str,
    skip_sent_ids: Iterable[int] = (),
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
    all_refs = load_refs(refs_path)
    check_family(all_refs, refs_path, generalized)
    refs = [ref for ref in all_refs if ref['split'] == split]
    if not refs:
        present = sorted({str(ref['split']) for ref in all_refs})
        raise ValueError(
            f'{refs_path} has no split {split!r}; set split to one of: '
            f'{", ".join(present)}'
        )
    targets = [target_ids(ref, refs_path, generalized) for ref in refs]
    _check_links(refs, targets, images, annotations, refs_path, instances_path)
    _warn_of_silent_refs(refs, refs_path)
    skipped = frozenset(skip_sent_ids)
    joined = [
        Ref(
            ref['ref_id'],
            [annotations[ann_id] for ann_id in ann_ids],
            images[ref['image_id']],
            _clean_sentences(ref, skipped, refs_path),
        )
        for ref, ann_ids in zip(refs, targets, strict=True)
    ]
    return [ref for ref in joined if ref.sentences]


def _load_json(path: Path) -> Any:
    """Read a JSON file."""
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{path} is not complete JSON ({error}); download it again: '
            f'{_PREPARE}'
        ) from error


def _describe_missing(path: Path) -> str:
    """Say which refs files are there instead, and how to read them."""
    found: dict[str, list[str]] = {
        family: sorted(file.name for file in path.parent.glob(f'{family}(*)*'))
        for family in _READERS
    }
    family = 'grefs' if path.name.startswith('grefs') else 'refs'
    other = 'refs' if family == 'grefs' else 'grefs'
    here = found[family] or found[other]
    advice = 'set split_by to the name in brackets'
    if found[other] and not found[family]:
        advice = f'to read this format, set {_READERS[other]}'
    return (
        f'{path} does not exist; {path.parent} holds '
        f'{", ".join(here) or f"no {family}(*) file at all"}: {advice} '
        f'({_PREPARE})'
    )


def check_family(refs: list[dict], path: Path, generalized: bool) -> None:
    """Raise where RefCOCO is read as gRefCOCO, or the other way round."""
    has_lists = any(isinstance(ref['ann_id'], (list, tuple)) for ref in refs)
    if not refs or has_lists == generalized:
        return
    if has_lists:
        content, family = 'lists of annotations per ref (gRefCOCO)', 'grefs'
    else:
        content, family = 'one annotation per ref (RefCOCO)', 'refs'
    raise ValueError(
        f'ann_id in {path} holds {content}, which needs {_READERS[family]}: '
        f'{_PREPARE}'
    )


def target_ids(ref: dict, path: Path, generalized: bool) -> list[int]:
    """Return the numbers of the ref's annotations, none for no target."""
    given = ref['ann_id']
    ids = list(given) if isinstance(given, (list, tuple)) else [given]
    if not generalized:
        return ids
    if ids == [_NO_TARGET]:
        ids = []
    if _NO_TARGET in ids or bool(ref.get('no_target', not ids)) == bool(ids):
        raise ValueError(
            f'{path}: ref_id {ref["ref_id"]} has ann_id {given} and no_target '
            f'{ref.get("no_target")}; expected [{_NO_TARGET}] and true where '
            'the expressions name nothing, else the ids of annotations and '
            f'false: {_PREPARE}'
        )
    return ids


def _warn_of_silent_refs(refs: list[dict], path: Path) -> None:
    """Count the refs of which nobody said anything."""
    silent = [ref['ref_id'] for ref in refs if not ref['sentences']]
    if silent:
        print_log(
            f'{path}: {len(silent)} refs have no sentences and are left out: '
            f'ref_id {_some(silent)}',
            logger='current',
            level=logging.WARNING,
        )


def _clean_sentences(
    ref: dict, skipped: Collection[int], path: Path
) -> list[dict]:
    """Return the ref's sentences, lower-cased and stripped."""
    sentences = []
    for sentence in ref['sentences']:
        try:
            sent_id, text = sentence['sent_id'], sentence['sent']
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: a sentence of ref_id {ref['ref_id']} lacks 'sent_id'"
                f" or 'sent'; expected the format of the REFER tool: "
                f'{_PREPARE}'
            ) from error
        if sent_id in skipped:
            continue
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f'{path}: the expression of ref_id {ref["ref_id"]}, sent_id '
                f'{sent_id} is empty ({text!r}), so nothing can be asked; to '
                f'leave it out, pass skip_sent_ids=[{sent_id}]'
            )
        expression = text.strip().lower()
        sentences.append(dict(sent_id=sent_id, expression=expression))
    return sentences


def _check_links(
    refs: list[dict],
    targets: list[list[int]],
    images: dict,
    annotations: dict,
    refs_path: Path,
    instances_path: Path,
) -> None:
    """Raise where a ref points at something the instances file lacks."""

    def refuse(wrong: Callable[[dict, list[int]], bool], what: str) -> None:
        pairs = zip(refs, targets, strict=True)
        lost = [ref for ref, ann_ids in pairs if wrong(ref, ann_ids)]
        if not lost:
            return
        raise ValueError(
            f'{refs_path}: {what} in {instances_path} for {len(lost)} refs: '
            f'ref_id {_some(ref["ref_id"] for ref in lost)}; ann_id '
            f'{_some(ref["ann_id"] for ref in lost)}; image_id '
            f'{_some(ref["image_id"] for ref in lost)}. Both files must come '
            f'from the same download: {_PREPARE}'
        )

    def is_elsewhere(ref: dict, ann_ids: list[int]) -> bool:
        image_id = ref['image_id']
        return any(annotations[i]['image_id'] != image_id for i in ann_ids)

    refuse(
        lambda _, ann_ids: any(i not in annotations for i in ann_ids),
        'no annotation',
    )
    refuse(lambda ref, _: ref['image_id'] not in images, 'no image')
    refuse(is_elsewhere, 'an annotation of another image')


def _some(values: Iterable, limit: int = 5) -> str:
    """Write out the first few values."""
    values = list(values)
    more = ', ...' if len(values) > limit else ''
    return ', '.join(str(value) for value in values[:limit]) + more
