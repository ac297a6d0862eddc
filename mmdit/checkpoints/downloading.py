"""Checkpoints of URLs: fetched once per machine and URL."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import torch
from mmengine.dist import barrier, is_main_process
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from mmdit import downloads

# Of up to four bytes each; file systems allow 255 bytes.
NAME_LENGTH = 48


def download(url: str) -> Path:
    """Fetch a file into PyTorch's cache, unless it is there."""
    path = cached_path(url)
    if is_main_process():
        _fetch(url, path)
    barrier()
    # Another machine of the same run has a cache of its own.
    _fetch(url, path)
    return path


def cached_path(url: str) -> Path:
    """Return where the file of a URL is kept.

    The whole URL decides: every model of a hub calls its file the same.
    """
    name = Path(urlsplit(url).path).name[-NAME_LENGTH:]
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Path(torch.hub.get_dir()) / 'checkpoints' / f'{digest}-{name}'


def _fetch(url: str, path: Path) -> None:
    """Download ``url`` unless ``path`` is there, and show how far it is."""
    if path.is_file():
        return
    columns = (*Progress.get_default_columns(), DownloadColumn())
    with Progress(
        *columns, TransferSpeedColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task(path.name)
        downloads.download(
            url,
            path,
            on_progress=lambda done, size: bar.update(
                task, completed=done, total=size
            ),
        )
