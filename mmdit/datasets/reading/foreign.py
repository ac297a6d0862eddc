"""Telling annotation files of other tools by their first words."""

import re
from pathlib import Path

# By what stands near the beginning of a file; the first that fits counts.
_SIGNS = (
    ('cvat', re.compile(rb'.{0,200}<annotations\b', re.S)),
    ('label-studio', re.compile(rb'\s*\[\s*\{.*"(?:annotations|data)"', re.S)),
    ('labelme', re.compile(rb'\s*\{.*"shapes"\s*:', re.S)),
    (
        'coco',
        re.compile(
            rb'\s*\{\s*"(?:info|licenses|images|annotations|categories)"'
            rb'\s*:\s*[\[{]'
        ),
    ),
)
_HEAD = 1 << 16
# Where exports keep their files, below the folder that is given.
_PLACES = (
    '_annotations.coco.json',
    '*/_annotations.coco.json',
    'annotations/*.json',
    '*.xml',
    '*.json',
)


def recognize(path: str | Path) -> str:
    """Return which kind ``mmdit convert-data`` calls a file or folder.

    Empty where it is none that it converts.
    """
    path = Path(path)
    if path.is_dir():
        # COCO's annotations are one file of two there.
        if any(path.glob('refs(*')):
            return ''
        files = (file for place in _PLACES for file in path.glob(place))
        return next(filter(None, map(recognize, files)), '')
    if path.suffix.lower() not in ('.json', '.xml') or not path.is_file():
        return ''
    with path.open('rb') as file:
        head = file.read(_HEAD)
    return next((kind for kind, sign in _SIGNS if sign.match(head)), '')


def advise_converting(path: str | Path) -> str:
    """Say what turns annotations of another tool into JSON lines, if any."""
    kind = recognize(path)
    return kind and (
        f'{path} holds annotations of {kind}, not JSON lines; convert them: '
        f'mmdit convert-data {kind} {path} OUT.jsonl'
    )
