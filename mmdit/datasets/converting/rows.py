"""From the shapes of any tool to checked JSON lines."""

import json
import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmdit.files import open_text

from ..reading.images import near_path, read_size
from ..reading.rows import parse_row
from ..reading.segmentations import draw_mask, encode_mask
from . import coco, cvat, label_studio, labelme, masks
from .shapes import LeftOut, Shape, Source, attempt

KINDS: dict[str, Callable[[Path], Source]] = {
    'coco': coco.read,
    'roboflow': coco.read,
    'labelme': labelme.read,
    'cvat': cvat.read,
    'label-studio': label_studio.read,
    'masks': masks.read,
}
# Where expressions usually are; the first that an annotation has counts.
KEYS = (
    'expression',
    'expressions',
    'caption',
    'captions',
    'sentence',
    'sentences',
    'phrase',
    'text',
    'description',
    'meta',
)
# Not keys of annotations, but what every tool has.
LABEL, CATEGORY = 'label', 'category'


@dataclass
class _Object:
    """What one or more shapes of an image show, and what is said of it."""

    shapes: list[Shape] = field(default_factory=list)
    words: dict[str, None] = field(default_factory=dict)


@dataclass
class Converted:
    """What became of an export.

    Attributes:
        rows: Number of rows that were written.
        images: Number of images that they are about.
        left_out: Cases of each reason why an annotation made no row.
        unsure: Images that viewers turn, where no size tells which way the
            masks were drawn, and what was assumed.
    """

    rows: int = 0
    images: int = 0
    left_out: dict[str, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    unsure: dict[str, str] = field(default_factory=dict)


def convert(
    kind: str,
    source: Path,
    out: Path,
    *,
    images: Path | None = None,
    key: str | None = None,
    exif: str | None = None,
    val: Path | None = None,
    val_share: float = 0.1,
) -> Converted:
    """Write the annotations of a tool as JSON lines.

    Args:
        kind: One of ``KINDS``.
        source: The export: a file or folder.
        out: The file to write; paths of images start from its folder.
        images: Where the images are, by default where the tool puts them.
        key: Where the expressions are: a key of the annotations; 'label' for
            names of categories; 'category' for the same, with all objects of
            an image that share one as one mask.
        exif: 'upright' or 'stored': how masks were drawn of images that
            viewers turn; by default what sizes tell, else what the tool does.
        val: A file for the rows of some images, which then are not in
            ``out``.
        val_share: Share of the images that go there.

    Raises:
        ValueError: No annotation makes a row.
    """
    export, done = KINDS[kind](source), Converted()
    folders = export.folders if images is None else [images]
    photos = _Images(folders, export.upright, exif, done.unsure)
    rows: dict[str, list[dict]] = defaultdict(list)
    for number, thing in enumerate(_objects(export.shapes, key, done), 1):
        found = attempt(thing.shapes[0].name, _rows, thing, number, photos)
        if isinstance(found, LeftOut):
            done.left_out[found.args[0]].append(found.args[1])
        else:
            rows[found[0]['image']] += found
    if not rows:
        raise ValueError(_nothing(source, done))
    done.rows, done.images = sum(map(len, rows.values())), len(rows)
    held = _hold_out(rows, val_share) if val is not None else set()
    for path, wanted in ((val, held), (out, rows.keys() - held)):
        if path is not None:
            _write(
                path,
                [r for name in rows if name in wanted for r in rows[name]],
            )
    return done


def _hold_out(names: Iterable[str], share: float) -> set[str]:
    """Choose images by their names, alike in every call."""
    order = sorted(names, key=lambda name: zlib.crc32(name.encode()))
    if not order[1:]:
        raise ValueError(
            f'there is one image, {order[0]}, so none can be held out; leave '
            '--val out'
        )
    return set(order[: min(len(order) - 1, max(1, round(share * len(order))))])


def _objects(
    shapes: Iterable[Shape | LeftOut], key: str | None, done: Converted
) -> list[_Object]:
    """Join shapes of one object, and find out what is said of it."""
    objects: dict[Hashable, _Object] = defaultdict(_Object)
    seen: Counter = Counter()
    for number, shape in enumerate(shapes):
        if isinstance(shape, LeftOut):
            done.left_out[shape.args[0]].append(shape.args[1])
            continue
        seen.update([*shape.texts, *shape.image_texts])
        words, of_image = _words(shape, key)
        group: Hashable = number if shape.group is None else shape.group
        if words and (key == CATEGORY or of_image):
            group = tuple(words)
        thing = objects[shape.image, group]
        thing.shapes.append(shape)
        thing.words.update(dict.fromkeys(words))
    silent = [thing for thing in objects.values() if not thing.words]
    if silent:
        done.left_out['no expression'] += [s.shapes[0].name for s in silent]
    if silent and len(silent) == len(objects):
        names = ', '.join(name for name, _ in seen.most_common(12)) or 'none'
        raise ValueError(
            'no annotation has an expression '
            + (f'at {key!r}' if key else f'({", ".join(KEYS)})')
            + f'; name the key that has it with --key (there are: {names}), '
            'or take the names of the categories, --key category'
        )
    return [thing for thing in objects.values() if thing.words]


def _words(shape: Shape, key: str | None) -> tuple[list[str], bool]:
    """Return the expressions of a shape; whether its image has them."""
    if key in (LABEL, CATEGORY):
        label = ' '.join(shape.label.replace('_', ' ').split())
        return [label] * bool(label), False
    for texts, of_image in ((shape.texts, False), (shape.image_texts, True)):
        for name in KEYS if key is None else (key,):
            if name in texts:
                return list(dict.fromkeys(texts[name])), of_image
    return [], False


def _rows(
    name: str, thing: _Object, number: int, photos: '_Images'
) -> list[dict]:
    """Return the rows of an object, which training will accept."""
    first = thing.shapes[0]
    path, size, turn = photos.see(first)
    mask = _join([shape.mask(*size) for shape in thing.shapes], *size)
    if not draw_mask(mask, *size).any():
        raise LeftOut('empty masks', name)
    base = dict(
        id=number if first.id is None else first.id,
        image=path,
        mask=mask,
        height=size[0],
        width=size[1],
    )
    if turn:
        base['turn_by_exif'] = True
    rows = [base | dict(expression=words) for words in thing.words]
    for row in rows:
        parse_row(json.dumps(row).encode())
    return rows


def _join(parts: list[list | dict], height: int, width: int) -> list | dict:
    """Return one segmentation for all parts of an object."""
    if not parts[1:]:
        return parts[0]
    if all(isinstance(part, list) for part in parts):
        return [polygon for part in parts for polygon in part]
    drawn = [draw_mask(part, height, width) for part in parts]
    return encode_mask(np.maximum.reduce(drawn))


class _Images:
    """The images of an export: where they are, and which way up.

    Args:
        folders: Where to look.
        upright: Whether the tool turns images by their EXIF data.
        exif: As in ``convert``.
        unsure: Gets an entry as ``Converted.unsure`` has them.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        upright: bool,
        exif: str | None,
        unsure: dict[str, str],
    ) -> None:
        self.folders, self.exif, self.unsure = list(folders), exif, unsure
        self.upright = upright if exif is None else exif == 'upright'
        self._known: dict[str, tuple] = {}

    def see(self, shape: Shape) -> tuple[str, tuple[int, int], bool]:
        """Return path, (height, width) as drawn on, and if that is turned."""
        if shape.image not in self._known:
            path = self._find(shape.image)
            self._known[shape.image] = path, *read_size(path)
        path, stored, orientation = self._known[shape.image]
        shown = stored[::-1] if orientation > 4 else stored
        if shape.size not in (stored, shown):
            raise ValueError(
                f'it was drawn on {shape.size[0]}x{shape.size[1]} (height x '
                f'width), but {path} is {stored[0]}x{stored[1]}'
            )
        turn = self.upright
        if self.exif is None and stored != shown:
            turn = shape.size == shown
        elif self.exif is None and orientation > 1:
            self.unsure[path] = 'upright' if turn else 'stored'
        turn = turn and orientation > 1
        return path, shown if turn else stored, turn

    def _find(self, name: str) -> str:
        """Return the path of an image, which may be written otherwise."""
        for folder in self.folders:
            for part in (name, os.path.basename(name.replace('\\', '/'))):
                if found := near_path(os.path.join(folder, part)):
                    return found
        places = ', '.join(map(str, self.folders))
        raise LeftOut('missing images', f'{name}, looked for in {places}')


def _write(path: Path, rows: Iterable[dict]) -> None:
    """Write a file, whole or not at all; images start from its folder."""
    with open_text(path) as file:
        for row in rows:
            image = os.path.relpath(row['image'], path.parent)
            line = json.dumps(row | dict(image=image), ensure_ascii=False)
            file.write(line + '\n')


def _nothing(source: Path, done: Converted) -> str:
    """Say why there are no rows."""
    reasons = [
        f'{reason} ({len(cases)}), such as {cases[0]}'
        for reason, cases in done.left_out.items()
    ]
    advice = '; set --images' if 'missing images' in done.left_out else ''
    return f'{source} makes no row: {"; ".join(reasons) or "empty"}{advice}'
