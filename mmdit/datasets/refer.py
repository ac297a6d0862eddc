"""Reading the annotation files of the RefCOCO family, safely.

A data set is a folder with ``instances.json`` (COCO format: where things are)
and ``refs(<split_by>).p`` (a pickled list: what people said about them). The
pickle comes from the internet, so it is read by an unpickler that can build
plain containers, strings and numbers, and nothing else.
"""

import json
import pickle
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

_PREPARE = 'see docs/prepare_data.md'
_CONTAINERS = ('list', 'dict', 'tuple', 'set', 'frozenset')
_SCALARS = ('str', 'unicode', 'int', 'long', 'float', 'bool')
# Python 2 wrote `__builtin__`, Python 3 writes `builtins`.
_SAFE_GLOBALS = {('collections', 'OrderedDict')} | {
    (module, name)
    for module in ('builtins', '__builtin__')
    for name in _CONTAINERS + _SCALARS
}
_REF_KEYS = ('ref_id', 'ann_id', 'image_id', 'split', 'sentences')


class UnsafePickleError(pickle.UnpicklingError):
    """A pickle asked for something other than plain data."""


class Ref(NamedTuple):
    """One referent and what people said about it.

    Attributes:
        ref_id: Number of the ref in the refs file.
        annotation: Its COCO annotation.
        image: The COCO entry of its image.
        sentences: ``dict(sent_id=..., expression=...)``, at least one; the
            expression is stripped and in lower case.
    """

    ref_id: int
    annotation: dict
    image: dict
    sentences: list[dict]


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that refuses every global but those of plain data."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _SAFE_GLOBALS:
            return super().find_class(module, name)
        raise UnsafePickleError(f'{module}.{name}')


def load_plain_pickle(path: str | Path) -> Any:
    """Read a pickle that holds containers, strings and numbers only.

    Strings that Python 2 wrote are taken as UTF-8, or as Latin-1 where they
    are not valid UTF-8.
    """

    def load(encoding: str) -> Any:
        with open(path, 'rb') as file:
            return _PlainUnpickler(file, encoding=encoding).load()

    try:
        try:
            return load('utf-8')
        except UnicodeDecodeError:
            return load('latin1')
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f'{path} asks for {error}, but a refs file holds plain lists, '
            'dicts, strings and numbers; loading it could run code of a '
            f'stranger. Download it again from its source: {_PREPARE}'
        ) from None
    except OSError:
        raise
    # Damaged bytes raise nearly anything: EOFError, KeyError, MemoryError...
    except Exception as error:
        raise ValueError(
            f'{path} is not a complete pickle ({type(error).__name__}: '
            f'{error}); download it again: {_PREPARE}'
        ) from error


def load_instances(path: str | Path) -> tuple[dict, dict]:
    """Read COCO's ``instances.json``: images and annotations, each by id."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist; expected the COCO-format annotations '
            f'there, next to refs(<split_by>).p: {_PREPARE}'
        )
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{path} is not complete JSON ({error}); download it again: '
            f'{_PREPARE}'
        ) from error
    try:
        images = {image['id']: image for image in content['images']}
        annotations = {ann['id']: ann for ann in content['annotations']}
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not in COCO format: expected lists 'images' and "
            f"'annotations' of entries with an 'id' ({error!r}): {_PREPARE}"
        ) from error
    return images, annotations


def load_refs(path: str | Path) -> list[dict]:
    """Read ``refs(<split_by>).p``: every ref of every split, unchanged."""
    path = Path(path)
    if not path.is_file():
        found = sorted(file.name for file in path.parent.glob('refs(*).p'))
        raise FileNotFoundError(
            f'{path} does not exist; {path.parent} holds '
            f'{", ".join(found) or "no refs(*).p at all"}: set split_by to '
            f'the name in brackets ({_PREPARE})'
        )
    refs = load_plain_pickle(path)
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
) -> list[Ref]:
    """Read the refs of one split, joined with annotation and image.

    Args:
        folder: Folder of the data set, such as ``data/refcoco``.
        split_by: Who made the split: the name in ``refs(<split_by>).p``.
        split: Name of the split, such as ``val``.
        skip_sent_ids: Sentences to leave out. A ref that keeps none is left
            out as well.

    Returns:
        The refs that have at least one sentence, in the file's order.
    """
    folder = Path(folder)
    refs_path = folder / f'refs({split_by}).p'
    instances_path = folder / 'instances.json'
    images, annotations = load_instances(instances_path)
    all_refs = load_refs(refs_path)
    refs = [ref for ref in all_refs if ref['split'] == split]
    if not refs:
        present = sorted({str(ref['split']) for ref in all_refs})
        raise ValueError(
            f'{refs_path} has no split {split!r}; set split to one of: '
            f'{", ".join(present)}'
        )
    _check_links(refs, images, annotations, refs_path, instances_path)
    skipped = frozenset(skip_sent_ids)
    joined = [
        Ref(
            ref['ref_id'],
            annotations[ref['ann_id']],
            images[ref['image_id']],
            _clean_sentences(ref, skipped, refs_path),
        )
        for ref in refs
    ]
    return [ref for ref in joined if ref.sentences]


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
    images: dict,
    annotations: dict,
    refs_path: Path,
    instances_path: Path,
) -> None:
    """Raise where a ref points at something the instances file lacks."""

    def refuse(wrong: Callable[[dict], bool], what: str) -> None:
        lost = [ref for ref in refs if wrong(ref)]
        if not lost:
            return
        raise ValueError(
            f'{refs_path}: {what} in {instances_path} for {len(lost)} refs: '
            f'ref_id {_some(ref["ref_id"] for ref in lost)}; ann_id '
            f'{_some(ref["ann_id"] for ref in lost)}; image_id '
            f'{_some(ref["image_id"] for ref in lost)}. Both files must come '
            f'from the same download: {_PREPARE}'
        )

    refuse(lambda ref: ref['ann_id'] not in annotations, 'no annotation')
    refuse(lambda ref: ref['image_id'] not in images, 'no image')
    refuse(
        lambda ref: annotations[ref['ann_id']]['image_id'] != ref['image_id'],
        'an annotation of another image',
    )


def _some(values: Iterable, limit: int = 5) -> str:
    """Write out the first few values."""
    values = list(values)
    more = ', ...' if len(values) > limit else ''
    return ', '.join(str(value) for value in values[:limit]) + more
