"""Checkpoints that MMEngine reads, without running code from them.

MMEngine's own loader falls back to unpickling anything where safe loading
fails. ``load_from``, ``--resume`` and ``init_cfg=dict(type='Pretrained')`` all
pass through its ``CheckpointLoader``.
"""

from pathlib import Path
from typing import Any

from mmengine.runner import CheckpointLoader, Runner, runner
from mmengine.runner.checkpoint import get_torchvision_models

from mmdit.checkpoints.files import read_checkpoint
from mmdit.checkpoints.work_dir import find_checkpoint

from .sharding import FullySharded, whole_states

URL_SCHEMES = ('http://', 'https://')
TORCHVISION = ('torchvision://', 'modelzoo://')
# Written as MMEngine registers them, so that its loaders are replaced.
OTHER_SCHEMES = (
    'pavi://',
    r'(\S+\:)?s3://',
    r'(\S+\:)?petrel://',
    'open-mmlab://',
    'openmmlab://',
    'mmcls://',
)


class SafeRunner(Runner):
    """MMEngine's Runner, which resumes from what fits it, or says why not."""

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: Its states are not those of such a run.
        """
        try:
            super().resume(filename, *args, **kwargs)
        # Where MMEngine and PyTorch use a state, they trust its form.
        except Exception as error:
            if str(filename) in str(error) or isinstance(error, MemoryError):
                raise
            raise ValueError(
                f'{filename}: training cannot go on from this checkpoint '
                f'({type(error).__name__}: {error!s:.300}). It is damaged, or '
                'of a run with other parameters, optimizer or schedules: '
                'resume from another one, or start from its weights with '
                'load_from and without --resume'
            ) from error

    def load_or_resume(self) -> None:
        """Load what there is to load, and share out what is to be shared."""
        super().load_or_resume()
        if isinstance(self.model, FullySharded):
            self.model.share_out(self)

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint; all ranks must call this."""
        with whole_states(self):
            super().save_checkpoint(*args, **kwargs)


def use_safe_loading() -> None:
    """Let MMEngine read tensors and plain data only, from here on.

    Also adds what :func:`read_checkpoint` knows: ``.safetensors`` and
    directories as ``transformers`` writes them; and lets a run with any hook
    resume from the furthest checkpoint that can be read.
    """
    runner.find_latest_checkpoint = find_latest
    for schemes, loader in (
        ('', load_from_local),
        (URL_SCHEMES, load_from_http),
        (TORCHVISION, load_from_torchvision),
        (OTHER_SCHEMES, load_from_elsewhere),
    ):
        CheckpointLoader.register_scheme(schemes, loader, force=True)


def find_latest(path: str) -> str | None:
    """Return the furthest readable checkpoint of a work dir."""
    found = find_checkpoint(Path(path))
    return None if found is None else str(found)


def load_from_local(filename: str, map_location: Any = 'cpu') -> dict:
    """Read a file or directory."""
    return read_checkpoint(filename, map_location)


def load_from_http(filename: str, map_location: Any = 'cpu') -> dict:
    """Read a URL."""
    return read_checkpoint(filename, map_location)


def load_from_torchvision(filename: str, map_location: Any = 'cpu') -> dict:
    """Read a model of torchvision by its name, such as ``resnet50``."""
    models = get_torchvision_models()
    name = filename.partition('://')[2]
    if name not in models:
        raise KeyError(
            f'{filename}: torchvision has no model {name!r}; known names '
            f'start with {", ".join(sorted(models)[:5])}'
        )
    return read_checkpoint(models[name], map_location)


def load_from_elsewhere(filename: str, map_location: Any = 'cpu') -> dict:
    """Reject a scheme whose loader in MMEngine would unpickle anything."""
    raise ValueError(
        f'checkpoint {filename!r} is at a place that cannot be read safely; '
        'download it and give its path, or give an http(s) URL'
    )
