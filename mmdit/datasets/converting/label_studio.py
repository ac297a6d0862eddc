"""Label Studio's export "JSON": a list of tasks with their annotations.

https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks
has the format. Coordinates are percent of the image. What somebody wrote
about a region is a result of its own with the region's id.
"""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from mmdit.decoding import image_suffixes

from ..reading.brush import decode_brush
from ..reading.segmentations import encode_mask
from ..reading.values import load_json, short, to_whole
from .shapes import (
    NO_MASK,
    LeftOut,
    Shape,
    Shapes,
    Source,
    attempt,
    ellipse,
    find_file,
    flatten,
    texts_of,
)

_EXPORT = 'expected the export "JSON" of Label Studio'
# Label Studio puts 8 digits before the names of uploaded files.
_PREFIX = 9


def read(source: Path) -> Source:
    """Read a file, or the folder that holds it."""
    path = find_file(source, ['*.json'], 'the JSON of Label Studio')
    tasks = load_json(path)
    if not isinstance(tasks, list) or not all(
        isinstance(task, dict) for task in tasks
    ):
        raise ValueError(f'{path} is not a list of tasks; {_EXPORT}')
    if tasks and not any('annotations' in task for task in tasks):
        raise ValueError(
            f"{path} has no 'annotations' (JSON-MIN has none: it does not "
            f'say which words belong to which region); {_EXPORT}'
        )
    folders = [path.parent, path.parent / 'images']
    return Source(_shapes(tasks, folders), folders, True)


def _shapes(tasks: list[dict], folders: list[Path]) -> Shapes:
    for number, task in enumerate(tasks):
        where = f'task {short(task.get("id", number))}'
        try:
            results, image = _results(task), _image(task['data'], folders)
        except Exception as error:
            yield LeftOut('cannot be read', f'{where}: {error!r:.200}')
            continue
        texts: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for result in results:
            if result.get('type') == 'textarea':
                said = texts_of(result['value']).get('text', [])
                of_region = texts[str(result.get('id'))]
                for key in (str(result.get('from_name')), 'text'):
                    of_region[key] = of_region.get(key, []) + said
        for result in results:
            if result.get('type') in ('textarea', 'choices', 'relation'):
                continue
            name = f'region {short(result.get("id"))} of {where}'
            said = texts[str(result.get('id'))]
            yield attempt(name, _shape, result, image, said)


def _results(task: dict) -> list[dict]:
    """Return the results of the annotation that counts."""
    done = [a for a in task['annotations'] if not a.get('was_cancelled')]
    # The one that somebody starred, else the first.
    done.sort(key=lambda annotation: not annotation.get('ground_truth'))
    return done[0]['result'] if done else []


def _image(data: dict, folders: list[Path]) -> str:
    """Return the name of a task's image: of an upload, a file or a URL."""
    urls = [value for value in data.values() if isinstance(value, str)]
    for url in urls:
        parts = urlsplit(url)
        given = parse_qs(parts.query).get('d')
        name = given[0] if given else unquote(parts.path)
        if os.path.splitext(name)[1].lower() not in image_suffixes():
            continue
        base = os.path.basename(name)
        there = any((folder / base).exists() for folder in folders)
        uploaded = '/upload/' in name and base[8:_PREFIX] == '-'
        return base[_PREFIX:] if uploaded and not there else name
    raise ValueError(f"no image in its 'data' {short(data)}")


def _shape(
    name: str, result: dict, image: str, said: dict[str, list[str]]
) -> Shape:
    value, kind = result['value'], str(result['type'])
    if result.get('image_rotation'):
        raise ValueError('its image was turned by hand; turn the file instead')
    size = tuple(
        to_whole(result[f'original_{side}']) or 0
        for side in ('height', 'width')
    )
    labels = value.get(kind) or value.get('labels') or ['']
    meta = result.get('meta')
    texts = texts_of(meta if isinstance(meta, dict) else {})
    return Shape(
        name=name,
        image=image,
        size=(size[0], size[1]),
        label=str(labels[0]),
        texts={'meta': texts['text'], **said} if 'text' in texts else said,
        mask=_mask(name, value, kind),
        id=None,
    )


def _mask(
    name: str, value: dict, kind: str
) -> Callable[[int, int], list | dict]:
    """Return what draws a region."""
    if 'rle' in value:
        return lambda height, width: encode_mask(
            decode_brush(value['rle'], height, width)
        )
    if 'points' in value and kind.startswith('polygon'):
        return lambda height, width: [
            flatten(
                (x * width / 100, y * height / 100) for x, y in value['points']
            )
        ]
    if 'radiusX' in value:
        return lambda height, width: [
            ellipse(
                value['x'] * width / 100,
                value['y'] * height / 100,
                value['radiusX'] * width / 100,
                value['radiusY'] * height / 100,
                value.get('rotation', 0),
            )
        ]
    raise LeftOut(NO_MASK, f'{name} ({short(kind)})')
