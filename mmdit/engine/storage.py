"""Where checkpoints are written: whole or not at all."""

from collections.abc import Container
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from mmdit.files import replace_file

ATOMIC = 'mmdit_atomic'


class AtomicBackend(LocalBackend):
    """MMEngine's storage on disk, with files that are complete or not there.

    ``remove`` waits until :meth:`remove_waiting`: MMEngine's checkpoint hook
    removes the old file before it writes the new one.
    """

    def __init__(self) -> None:
        self._waiting: list[str | Path] = []

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file."""
        replace_file(Path(filepath), lambda path: path.write_bytes(obj))

    def remove(self, filepath: str | Path) -> None:
        """Remove a file, later."""
        self._waiting.append(filepath)

    def remove_waiting(self, keep: Container) -> None:
        """Remove what was to be removed, but not what is in ``keep``."""
        for filepath in self._waiting:
            if filepath not in keep:
                Path(filepath).unlink(missing_ok=True)
        self._waiting.clear()


register_backend(ATOMIC, AtomicBackend, force=True)
