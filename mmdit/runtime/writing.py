"""Files of predictions, written as they come and found again later."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from PIL import Image

from mmdit.files import open_text

# Letters and bytes of each half of a name; file systems allow 255 bytes.
SLUG_LENGTH, SLUG_BYTES = 48, 96
# Longer side, in pixels.
MAX_OVERLAY = 4096
# Of no use in a text file.
_ARRAYS = frozenset(
    ('mask', 'probabilities', 'logits', 'low_res_masks', 'overlay')
)


class ResultWriter:
    """Write predictions into a folder, each to files of its own.

    ``overlays/NAME.jpg`` shows a prediction, ``masks/NAME.png`` is its mask (0
    and 255, at the size of the image). ``predictions.jsonl`` gets a line for
    each as soon as its files are there; ``predictions.json`` is the same as a
    list, written at the end. NAME is made of the image's name and the
    expression, and is never used twice.

    Args:
        out_dir: The folder; made where it does not exist.
        settings: Whatever decides what a prediction is, in plain values.
            Predictions in the folder that were made with equal ones, of files
            that have not changed since, are kept, others are replaced. By
            default, all are.
    """

    def __init__(
        self, out_dir: str | Path, settings: dict[str, Any] | None = None
    ) -> None:
        self.out_dir = Path(out_dir)
        #: Image and expression of predictions that were there before.
        self.kept: set[tuple[str | int, str | None]] = set()
        #: Settings of predictions that were there before, and are replaced.
        self.replaced: dict[str, Any] | None = None
        self._resumes = settings is not None
        self._names: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._path = self.out_dir / 'predictions.jsonl'
        for name in ('overlays', 'masks'):
            (self.out_dir / name).mkdir(parents=True, exist_ok=True)
        self._begin(settings)
        self._file = _open(self._path, 'a')

    def __enter__(self) -> 'ResultWriter':
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def write(self, prediction: dict, overlay: np.ndarray) -> None:
        """Write a prediction and its (H', W', 3) RGB overlay."""
        name = self._make_name(prediction)
        files = dict(overlay=f'overlays/{name}.jpg', mask=f'masks/{name}.png')
        mask = prediction['mask'].astype(np.uint8) * 255
        Image.fromarray(mask).save(self.out_dir / files['mask'])
        shown = Image.fromarray(overlay)
        # To look at: as a PNG, that of a photograph took ten times as long as
        # the prediction.
        shown.thumbnail((MAX_OVERLAY, MAX_OVERLAY))
        shown.save(self.out_dir / files['overlay'], quality=90)
        row = {k: v for k, v in prediction.items() if k not in _ARRAYS}
        row |= files
        # Elsewhere the name may be a visitor's, and no file to look at.
        if self._resumes:
            row['stamp'] = _stamp(prediction['image'])
        self._file.write(json.dumps(row, ensure_ascii=False) + '\n')
        self._file.flush()

    def rows(self) -> Iterator[dict]:
        """Read what has been written, also before this writer."""
        with _open(self._path) as file:
            for line in file:
                yield json.loads(line)

    def close(self) -> Path:
        """Write ``predictions.json`` and return its path."""
        self._file.close()
        path = self.out_dir / 'predictions.json'
        with _open(self._path) as lines, open_text(path) as file:
            file.write('[')
            for i, line in enumerate(lines):
                file.write(',\n' * (i > 0) or '\n')
                file.write(line.rstrip('\n'))
            file.write('\n]\n')
        return path

    def _begin(self, settings: dict[str, Any] | None) -> None:
        """Keep what equal settings have made, and drop the rest."""
        (self.out_dir / 'predictions.json').unlink(missing_ok=True)
        made_by = self.out_dir / 'made_by.json'
        earlier = _read_json(made_by)
        is_same = settings is not None and earlier == settings
        if not is_same and self._path.is_file():
            self.replaced = earlier
        with open_text(self._path) as file:
            file.writelines(self._usable() if is_same else ())
        if settings is None:
            made_by.unlink(missing_ok=True)
        else:
            with open_text(made_by) as file:
                json.dump(settings, file)

    def _usable(self) -> Iterator[str]:
        """Yield the lines whose image and files are as they were."""
        if not self._path.is_file():
            return
        with _open(self._path) as file:
            for line in file:
                try:
                    row = json.loads(line)
                    image, stamp = row['image'], row['stamp']
                    key = image, row['expression']
                    files = [
                        self.out_dir / row[kind]
                        for kind in ('mask', 'overlay')
                    ]
                # The last line of a killed process may be half a line.
                except (KeyError, TypeError, ValueError):
                    continue
                found = all(path.is_file() for path in files)
                if stamp and stamp == _stamp(image) and found:
                    self.kept.add(key)
                    self._names.add(_same(files[0].stem))
                    yield line.rstrip('\n') + '\n'

    def _make_name(self, prediction: dict) -> str:
        image = prediction['image']
        stem = f'image{image}' if isinstance(image, int) else Path(image).stem
        expression = prediction['expression'] or 'prompts'
        plain = f'{_slug(stem)}_{_slug(expression)}'
        name, number = plain, self._numbers.get(plain, 1)
        while _same(name) in self._names:
            number += 1
            name = f'{plain}_{number}'
        self._numbers[plain] = number
        self._names.add(_same(name))
        return name


def _slug(text: str) -> str:
    """Return what of a text goes into a file's name."""
    slug = re.sub(r'\W+', '-', text).strip('-')[:SLUG_LENGTH]
    return slug.encode()[:SLUG_BYTES].decode(errors='ignore')


def _same(name: str) -> str:
    """Return what file systems take for the same name: A and a, é and é."""
    return normalize('NFC', name).casefold()


def _stamp(image: str | int) -> str | None:
    """Return what changes with a file, None where there is none."""
    try:
        status = os.stat(str(image))
    except (OSError, ValueError):
        return None
    return f'{status.st_size} {status.st_mtime_ns}'


def _open(path: Path, mode: str = 'r') -> Any:
    """Open a text file; names of files may be no UTF-8."""
    return path.open(mode, encoding='utf-8', errors='backslashreplace')


def _read_json(path: Path) -> Any:
    """Read an object in JSON, None where there is none or half of one."""
    try:
        content = json.loads(path.read_text('utf-8'))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
