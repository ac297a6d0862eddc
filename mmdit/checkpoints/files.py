"""Read checkpoints from files, directories and URLs, never running code."""

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from mmengine.dist import barrier, is_main_process
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn
from torch import Tensor

from mmdit import downloads
from mmdit.files import read_json
from mmdit.optional import needed_by

from .safe_globals import load_pickle
from .settings import KEY, METADATA_KEY
from .work_dir import find_checkpoint, list_checkpoints

SHOWN = 8
# Characters of another library's message.
_SHOWN = 300
_MAX_NAME = 200
# Of up to four bytes each; file systems allow 255 bytes.
NAME_LENGTH = 48
HF_FILES = ('model.safetensors', 'pytorch_model.bin')


def read_checkpoint(location: str, map_location: Any = 'cpu') -> dict:
    """Read a checkpoint; its tensors are below ``state_dict``.

    Args:
        location: A ``.safetensors`` file, any file of ``torch.save``, a
            directory of training (its furthest readable checkpoint) or as
            ``transformers`` writes it, or the URL of a file.
        map_location: Device of the tensors, as of ``torch.load``.
    """
    if downloads.is_url(location):
        path = download(location)
    else:
        path = Path(location).expanduser()
    if path.is_dir():
        loaded: Any = _read_directory(path)
    elif path.is_file():
        loaded = _read_file(path, map_location)
    else:
        raise FileNotFoundError(
            f'checkpoint {location!r} does not exist; give a file, a '
            'directory as transformers writes it, or a URL. SAM is at '
            'https://github.com/facebookresearch/segment-anything'
            '#model-checkpoints'
        )
    return _with_state_dict(loaded, location)


def read_state_dict(location: str) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint alone."""
    return read_checkpoint(location)['state_dict']


def _read_file(path: Path, map_location: Any = 'cpu') -> Any:
    """Read one file."""
    downloads.check_content(str(path), path)
    if path.suffix == '.safetensors':
        return _read_safetensors(path)
    return load_pickle(path, map_location)


def _read_safetensors(path: Path) -> dict:
    """Read a ``.safetensors`` file, and the settings that it holds."""
    with needed_by(str(path), 'safetensors'):
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file
    try:
        tensors = load_file(path)
        with safe_open(path, 'pt') as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
    except SafetensorError as error:
        raise ValueError(
            f'{path} cannot be read as safetensors: its download is '
            f'incomplete or it is another kind of file ({str(error)[:_SHOWN]})'
        ) from error
    if text is None:
        return tensors
    try:
        return dict(state_dict=tensors, meta={KEY: json.loads(text)})
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{path}: {METADATA_KEY} of its metadata is not JSON'
        ) from error


def _read_directory(path: Path) -> dict:
    """Read a directory of training, or as ``transformers`` writes it."""
    if list_checkpoints(path):
        found = find_checkpoint(path)
        assert found is not None
        return _read_file(found)
    for name in HF_FILES:
        if (path / name).is_file():
            return _read_file(path / name)
        if (path / f'{name}.index.json').is_file():
            return _read_shards(path / f'{name}.index.json')
    raise FileNotFoundError(
        f'{path} holds no checkpoint of training (iter_*.pth, epoch_*.pth) '
        f'and no {" or ".join(HF_FILES)}, nor their .index.json; give the '
        'directory that mmdit train, save_pretrained or a download wrote, '
        'or a file'
    )


def _read_shards(index: Path) -> dict[str, Tensor]:
    """Read the files that an index names."""
    weight_map = _read_weight_map(index)
    state_dict: dict[str, Tensor] = {}
    for name in sorted(set(weight_map.values())):
        shard = index.parent / name
        if Path(name).name != name or not shard.is_file():
            raise FileNotFoundError(
                f'{index} names the file {name[:_SHOWN]!r}, which is not '
                'beside it; download every shard'
            )
        part = _with_state_dict(_read_file(shard), str(shard))
        state_dict |= part['state_dict']
    absent = [key for key in weight_map if key not in state_dict]
    if absent:
        raise ValueError(
            f'{index} says that its files hold {absent[0]:.{_MAX_NAME}} '
            f'(and {len(absent) - 1} others), but they do not; download '
            'them again'
        )
    return state_dict


def _read_weight_map(index: Path) -> dict[str, str]:
    """Read the name of the file of each tensor."""
    content = read_json(index, 'download it again')
    names = content.get('weight_map') if isinstance(content, dict) else None
    if not isinstance(names, dict) or not all(
        isinstance(name, str) for name in names.values()
    ):
        raise ValueError(
            f"{index} holds no 'weight_map' of names of files; download it "
            'again'
        )
    return names


def _with_state_dict(loaded: Any, location: str) -> dict:
    """Put a bare state dict below ``state_dict``; check what is there."""
    given = loaded
    if isinstance(loaded, dict):
        given = loaded.get('state_dict', loaded)
    if not isinstance(given, dict) or not given:
        raise ValueError(
            f'{location} holds {type(given).__name__} where tensors by name '
            'were expected: a state dict, alone or below state_dict'
        )
    for key, value in given.items():
        # Messages list names.
        if len(str(key)) > _MAX_NAME:
            raise ValueError(
                f'{location} has a name of {len(str(key)):,} characters, '
                f'expected names of tensors, of at most {_MAX_NAME}'
            )
        if not isinstance(value, Tensor):
            raise ValueError(
                f'{location} holds {type(value).__name__} at {key!r}, '
                'expected a tensor: a checkpoint is a state dict, alone or '
                f'below state_dict; its keys are '
                f'{str(list(loaded)[:SHOWN])[:_SHOWN]}'
            )
    return loaded if given is not loaded else dict(state_dict=loaded)


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
