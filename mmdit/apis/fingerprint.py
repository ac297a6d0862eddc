"""What tells apart models whose predictions may differ.

Importing this needs no torch.
"""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

CHUNK = 1 << 20


def hash_model(settings: str, model: 'nn.Module') -> str:
    """Hash what a config says, and every number of a model's weights."""
    import torch

    digest = sha256(settings.encode())
    for name, tensor in model.state_dict().items():
        digest.update(f'{name} {tensor.dtype} {[*tensor.shape]}'.encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def hash_folder(folder: Path) -> str:
    """Hash the names and contents of a folder's files."""
    digest = sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        digest.update(f'{path.name} {path.stat().st_size}'.encode())
        with path.open('rb') as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


__all__ = ['hash_folder', 'hash_model']
