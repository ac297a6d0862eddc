"""Reading ``instances.json``: images and annotations in COCO's format."""

from pathlib import Path

from .missing import describe_instances
from .segmentations import MAX_PIXELS
from .values import (
    PREPARE,
    Id,
    check_text,
    load_json,
    read_id,
    short,
    to_whole,
)


def load_instances(path: str | Path) -> tuple[dict, dict]:
    """Read COCO's ``instances.json``: images and annotations, each by id."""
    images, annotations, problems = read_instances(path)
    if problems:
        more = f' (and {len(problems) - 1} more)' if problems[1:] else ''
        raise ValueError(f'{path}: {problems[0]}{more}: {PREPARE}')
    return images, annotations


def read_instances(path: str | Path) -> tuple[dict, dict, list[str]]:
    """Do the same, and return what is wrong with ids instead of raising."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(describe_instances(path))
    return index_instances(load_json(path), path)


def index_instances(
    content: dict, path: str | Path
) -> tuple[dict, dict, list[str]]:
    """Do the same with what the file at ``path`` holds."""
    problems: list[str] = []
    try:
        images = _by_id(content['images'], 'image', problems)
        annotations = _by_id(content['annotations'], 'annotation', problems)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not in COCO format: expected lists 'images' and "
            f"'annotations' of entries with an 'id' ({error!r}): {PREPARE}"
        ) from error
    return images, annotations, problems


def _by_id(entries: list[dict], what: str, problems: list[str]) -> dict:
    """Index entries by their ids, which become alike however written."""
    found: dict[Id, dict] = {}
    for number, entry in enumerate(entries):
        try:
            name = entry['id'] = read_id(entry['id'], f"'id' of {what}s")
            if 'image_id' in entry:
                label = f"'image_id' of {what} {short(name)}"
                entry['image_id'] = read_id(entry['image_id'], label)
            # COCO knows no paths: a text, perhaps a URL, is never opened.
            if isinstance(entry.get('segmentation'), str):
                entry['segmentation'] = [entry['segmentation']]
        except ValueError as error:
            problems.append(f'entry {number} of {what}s: {error}')
            continue
        other = found.setdefault(name, entry)
        if other is not entry:
            both = f'{_describe(other)} and entry {number}, {_describe(entry)}'
            problems.append(
                f'two {what}s have the id {short(name)}: {both}; give each an '
                'id of its own, or remove the wrong one'
            )
    return found


def _describe(entry: dict) -> str:
    """Say which image or annotation it is, apart from its id."""
    keys = ('file_name', 'image_id', 'bbox', 'area', 'segmentation')
    told = [f'{key} {short(entry[key], 40)}' for key in keys if key in entry]
    return f'one of {", ".join(told[:2])}' if told else 'one of no content'


def check_image_entry(entry: dict) -> dict:
    """Return what an entry of ``images`` says: id, file name and size."""
    name, checked = f'image {short(entry["id"])}', dict(id=entry['id'])
    file_name = entry.get('file_name')
    if not isinstance(file_name, str) or not file_name.strip():
        raise ValueError(
            f"{name} has 'file_name' {short(file_name)}, expected the path "
            'of its file in the folder of the images'
        )
    checked['file_name'] = check_text(file_name, f"'file_name' of {name}")
    for key in ('height', 'width'):
        value = entry.get(key)
        pixels = to_whole(value)
        if pixels is None or not 0 < pixels <= MAX_PIXELS:
            raise ValueError(
                f'{name} ({short(file_name)}) has {key!r} {short(value)}, '
                f'expected its pixels, 1 to {MAX_PIXELS:,}'
            )
        checked[key] = pixels
    return checked
