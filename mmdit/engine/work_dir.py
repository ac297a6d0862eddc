"""Keep two runs out of one work dir, one after the other or at once."""

import logging
import os
import socket
from pathlib import Path

from mmengine.logging import print_log

from mmdit.checkpoints.work_dir import list_checkpoints
from mmdit.files import PART

LOCK = '.lock'
# Descriptors of the locks that this process holds, until it ends.
_held: dict[Path, int] = {}


def claim_work_dir(work_dir: str | Path, start: Path | None) -> None:
    """Take a work dir for this process; raise where another run is in it.

    Args:
        work_dir: Folder of the run, made if it is not there.
        start: The checkpoint that the run goes on from; None starts anew.
    """
    folder = Path(work_dir).resolve()
    lock_work_dir(folder)
    for part in folder.glob(f'.*.pth{PART}'):
        part.unlink(missing_ok=True)
    known = list_checkpoints(folder)
    if start is not None and start.resolve() in known:
        known = known[: known.index(start.resolve())]
    if known and not all(_is_broken(path) for path in known):
        begin = 'the beginning' if start is None else start.name
        raise FileExistsError(
            f'{work_dir} holds {known[0].name}, which a run from {begin} '
            'would leave behind or overwrite; give --resume to go on from it, '
            'another --work-dir, or move its checkpoints away'
        )


def _is_broken(path: Path) -> bool:
    """Tell whether a checkpoint cannot be read."""
    from mmdit.checkpoints.files import read_checkpoint

    try:
        read_checkpoint(str(path))
    except (OSError, ValueError):
        return True
    return False


def lock_work_dir(work_dir: str | Path) -> None:
    """Lock a folder, made if it is not there, for this process.

    The system gives the lock back when the process ends, however it ends, and
    workers do not inherit it. Network file systems share it between machines.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    folder = Path(work_dir).resolve()
    if folder in _held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        owner = os.read(descriptor, 200).decode(errors='replace').strip()
        os.close(descriptor)
        raise RuntimeError(
            f'{folder} is in use by another run ({owner or "not known"}); '
            'wait for it, stop it, or give another --work-dir'
        ) from error
    except OSError as error:
        print_log(
            f'{folder} cannot be locked here ({error}); see to it that no '
            'other run uses it',
            logger='current',
            level=logging.WARNING,
        )
    os.ftruncate(descriptor, 0)
    os.write(
        descriptor, f'process {os.getpid()} on {socket.gethostname()}'.encode()
    )
    _held[folder] = descriptor


def release_work_dir(work_dir: str | Path) -> None:
    """Give a lock of this process back."""
    descriptor = _held.pop(Path(work_dir).resolve(), None)
    if descriptor is not None:
        os.close(descriptor)
