"""Write state dicts as files or directories, whole or not at all."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdit.files import replace_file

from .settings import KEY, METADATA_KEY

TORCH_SUFFIXES = ('.pth', '.pt', '.bin')


def check_destination(path: Path, target: str, overwrite: bool) -> None:
    """Reject a path that cannot or must not be written.

    Args:
        path: A file, or for 'hf-sam' and 'mmdit' also a directory.
        target: Kind of checkpoint to be written.
        overwrite: Whether an existing file may be replaced.
    """
    if path.suffix not in (*TORCH_SUFFIXES, '.safetensors') and (
        target not in ('hf-sam', 'mmdit') or path.suffix
    ):
        raise ValueError(
            f'cannot tell what to write to {path}: expected a name that '
            f'ends with .safetensors or {", ".join(TORCH_SUFFIXES)}, or for '
            'mmdit and hf-sam the name of a directory, without a suffix'
        )
    taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if taken and not overwrite:
        raise FileExistsError(
            f'{path} exists; give --overwrite to replace it, or another name'
        )


def write_file(
    path: Path, state_dict: dict[str, Tensor], wrapper: dict | None
) -> None:
    """Write a ``.safetensors`` file or one of ``torch.save``.

    Args:
        path: Its suffix decides.
        state_dict: What to write.
        wrapper: What to put beside ``state_dict``; None writes it bare. Of
            it a ``.safetensors`` file holds the settings alone.
    """
    if path.suffix == '.safetensors':
        from safetensors.torch import save

        metadata = {'format': 'pt'}
        settings = (wrapper or {}).get('meta', {}).get(KEY)
        if settings:
            metadata[METADATA_KEY] = json.dumps(settings)
        # save_file would make the file readable for its owner alone.
        content = save(_without_sharing(state_dict), metadata)
        replace_file(path, lambda to: to.write_bytes(content))
        return
    whole: Any = state_dict
    if wrapper is not None:
        whole = dict(state_dict=state_dict, **wrapper)
    replace_file(path, lambda to: torch.save(whole, to))


def _without_sharing(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory, which safetensors does not store."""
    seen: set[int] = set()
    out = {}
    for key, value in state_dict.items():
        value = value.detach().contiguous()
        place = value.untyped_storage().data_ptr()
        out[key] = value.clone() if place in seen else value
        seen.add(place)
    return out


def write_hf_directory(
    path: Path, state_dict: dict[str, Tensor], config: Any
) -> None:
    """Write ``model.safetensors`` and ``config.json``."""
    path.mkdir(parents=True, exist_ok=True)
    write_file(path / 'model.safetensors', state_dict, None)
    config.save_pretrained(path)
