"""Write a whole SynthRef data set, or nothing."""

import json
import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2

from mmdit.files import read_json

from .claims import KINDS
from .drawing import render
from .language import grammar_words
from .records import (
    IDS_PER_SPLIT,
    SPLITS,
    annotation_record,
    category_records,
    draw_example,
    image_record,
    ref_record,
)
from .scene import LEVELS, Scene

GENERATOR_VERSION = 1

MIN_SIZE = 32  # a small object is 6 px across, its texture just visible
_INFO = 'synthref.json'
_OWN_NAMES = {'refcoco', 'images', 'vocab.txt', _INFO}
_SPECIAL_TOKENS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')

Job = tuple[str, int]
Track = Callable[[list[Job]], Iterable[Job]]


def write_synthref(
    out_dir: str | os.PathLike,
    train: int = 4000,
    val: int = 250,
    size: int = 64,
    seed: int = 0,
    level: str = 'easy',
    overwrite: bool = False,
    track: Track = iter,
) -> dict[str, Any] | None:
    """Write a SynthRef data set.

    The folder appears in one step when everything is written.

    Args:
        out_dir: Folder to make: missing or empty, unless ``overwrite``.
        train: Number of training images.
        val: Number of validation images.
        size: Image side in pixels.
        seed: Seed of all randomness.
        level: How hard to read, a key of ``LEVELS``.
        overwrite: Replace a SynthRef data set of other arguments.
        track: Wraps the list of images to make, to show progress.

    Returns:
        What was written (the contents of ``synthref.json``), or None if the
        folder already holds this very data set.
    """
    if level not in LEVELS:
        raise ValueError(
            f'unknown level {level!r}; set it to one of: {", ".join(LEVELS)}'
        )
    numbers = dict(train=train, val=val, size=size, seed=seed)
    _check_arguments(numbers)
    arguments: dict[str, Any] = dict(**numbers, level=level)
    out = Path(out_dir).resolve()
    if _is_there(out, arguments, overwrite):
        return None
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f'.{out.name}-unfinished-', dir=out.parent
    ) as workspace:
        new = Path(workspace, 'new')
        info = _write_all(new, arguments, track)
        if out.exists():
            out.rename(Path(workspace, 'old'))
        new.rename(out)
    return info


def _check_arguments(arguments: dict[str, int]) -> None:
    limits = dict(train=0, val=0, size=MIN_SIZE, seed=0)
    for name, value in arguments.items():
        least = limits[name]
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(
                f'{name} is {value!r}, expected an integer; '
                f'set {name} to {least} or more'
            )
        if value < least:
            raise ValueError(
                f'{name} is {value}, expected an integer of at least '
                f'{least}; set {name} to {least} or more'
            )
    for name in SPLITS:
        if arguments[name] >= IDS_PER_SPLIT:
            raise ValueError(
                f'{name} is {arguments[name]}, expected less than '
                f'{IDS_PER_SPLIT} images; set {name} to a smaller number'
            )
    if arguments['train'] + arguments['val'] == 0:
        raise ValueError(
            'train is 0 and val is 0, expected at least one image; '
            'set train or val to 1 or more'
        )


def _is_there(out: Path, arguments: dict[str, Any], overwrite: bool) -> bool:
    """Return whether ``out`` holds this data set; raise if it is in use."""
    if not out.exists():
        return False
    if not out.is_dir():
        raise FileExistsError(
            f'{out} is a file, expected a folder; choose another path'
        )
    names = {path.name for path in out.iterdir()}
    if not names:
        return False
    foreign = sorted(names - _OWN_NAMES)
    if _INFO not in names or foreign:
        others = ', '.join((foreign or sorted(names))[:3])
        raise FileExistsError(
            f'{out} holds other files ({others}), expected an empty '
            f'folder or a SynthRef data set; choose a folder of its own'
        )
    found = read_json(out / _INFO, 'remove the folder')
    wanted = dict(generator_version=GENERATOR_VERSION, **arguments)
    different = [key for key in wanted if found.get(key) != wanted[key]]
    if different and not overwrite:
        details = ', '.join(
            f'{key} {found.get(key)} instead of {wanted[key]}'
            for key in different
        )
        raise FileExistsError(
            f'{out} holds a SynthRef data set made with {details}; choose '
            f'another folder, or replace it with overwrite (--overwrite)'
        )
    return not different


def _write_all(
    root: Path, arguments: dict[str, Any], track: Track
) -> dict[str, Any]:
    image_dir, annotation_dir = root / 'images/train2014', root / 'refcoco'
    image_dir.mkdir(parents=True)
    annotation_dir.mkdir()
    images: list[dict] = []
    annotations: list[dict] = []
    refs: list[dict] = []
    counts: dict[str, Counter] = {split: Counter() for split in SPLITS}
    jobs = [(split, i) for split in SPLITS for i in range(arguments[split])]
    for split, index in track(jobs):
        scene, described = draw_example(
            arguments['seed'], split, index, arguments['level']
        )
        image = image_record(split, index, arguments['size'])
        _write_png(image_dir / image['file_name'], scene, image['width'])
        images.append(image)
        pairs = zip(scene.objects, described, strict=True)
        for number, (obj, said) in enumerate(pairs):
            annotation = annotation_record(obj, number, image)
            annotations.append(annotation)
            if said:
                refs.append(ref_record(said, annotation, image, split))
        counts[split].update(_count(described))
    instances = dict(
        info=dict(description='SynthRef', version=str(GENERATOR_VERSION)),
        images=images,
        annotations=annotations,
        categories=category_records(),
    )
    (annotation_dir / 'instances.json').write_text(json.dumps(instances))
    refs_file = annotation_dir / 'refs(unc).p'
    refs_file.write_bytes(pickle.dumps(refs, protocol=2))
    vocabulary = [*_SPECIAL_TOKENS, *grammar_words()]
    (root / 'vocab.txt').write_text('\n'.join(vocabulary) + '\n')
    info = dict(
        generator_version=GENERATOR_VERSION,
        **arguments,
        counts={split: dict(counts[split]) for split in SPLITS},
    )
    (root / _INFO).write_text(json.dumps(info, indent=2) + '\n')
    return info


def _write_png(path: Path, scene: Scene, size: int) -> None:
    bgr = cv2.cvtColor(render(scene, size), cv2.COLOR_RGB2BGR)
    # cv2.imwrite would not raise if the disk is full.
    path.write_bytes(cv2.imencode('.png', bgr)[1].tobytes())


def _count(described: list[list[tuple[str, str]]]) -> Counter:
    pairs = [pair for pairs in described for pair in pairs]
    counts = Counter(images=1, refs=sum(map(bool, described)))
    counts['sentences'] = len(pairs)
    counts.update(dict.fromkeys(KINDS, 0))
    counts.update(kind for kind, _ in pairs)
    return counts
