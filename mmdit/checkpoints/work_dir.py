"""Find the checkpoints in a folder of training."""

import logging
import re
from pathlib import Path

from mmengine.logging import print_log

LAST = 'last_checkpoint'
# iter_40.pth, epoch_2.pth, and epoch_2_iter_57.pth within the third epoch.
_NUMBERED = re.compile(r'(?!best_)(\D*)(\d+)(?:_iter_(\d+))?\.pth')


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, the furthest first.

    Where a folder holds those of two kinds of loops, the kind that
    ``last_checkpoint`` names comes first.
    """
    named = read_last(folder)
    paths = {*folder.glob('*.pth')}
    if named is not None:
        paths |= {named, *named.parent.glob('*.pth')}
    kind = _NUMBERED.fullmatch(named.name) if named else None
    found = {}
    for path in paths:
        if match := _NUMBERED.fullmatch(path.name):
            same = kind is not None and kind[1] == match[1]
            found[path] = (same, int(match[2]), int(match[3] or 0))
        elif path == named:
            found[path] = (True, -1, 0)
    return sorted(found, key=found.__getitem__, reverse=True)


def read_last(folder: Path) -> Path | None:
    """Return the path that ``last_checkpoint`` means, if it says anything.

    It is relative to the folder; MMEngine writes an absolute one, which means
    the file beside it where the folder has been moved.
    """
    try:
        text = (folder / LAST).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    if not text or '\0' in text:
        return None
    path = folder / text
    return path if path.is_file() else folder / Path(text).name


def find_checkpoint(folder: Path) -> Path | None:
    """Return the furthest readable checkpoint of a folder, or None.

    Those that cannot be read are named in a warning, with the one that is
    used; if none can be read, that is an error.
    """
    from .files import read_checkpoint  # it imports this module

    named, broken = read_last(folder), []
    for path in list_checkpoints(folder):
        try:
            read_checkpoint(str(path))
        except (ValueError, OSError) as error:
            broken.append(f'{path.name} ({_reason(error, path)})')
            continue
        if broken or named != path:
            told = '; '.join(broken) or (
                f'{LAST} names {named.name if named else "nothing"}'
            )
            print_log(
                f'{folder}: {told}; {path.name} is used, the furthest '
                'checkpoint that can be read',
                logger='current',
                level=logging.WARNING,
            )
        return path
    if broken:
        raise ValueError(
            f'{folder} holds no checkpoint that can be read: '
            f'{"; ".join(broken)}; move them away to start anew'
        )
    return None


def _reason(error: Exception, path: Path) -> str:
    """Say in a few words what is wrong with ``path``."""
    if not path.is_file():
        return 'missing'
    if not path.stat().st_size:
        return 'empty'
    return str(error).replace(str(path), 'it').partition('\n')[0]
