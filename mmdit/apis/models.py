"""From a model's name to its config, weights and device.

Nothing is taken from checkpoints but tensors: the config that MMEngine writes
into them is code, which reading it would run.
"""

import json
from pathlib import Path

import mmengine
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

from mmdit.checkpoints.files import read_checkpoint
from mmdit.checkpoints.work_dir import find_checkpoint
from mmdit.hub.folder import is_model_folder, load_folder
from mmdit.models.text_encoders.saving import (
    set_text_encoder,
    use_saved_text_encoder,
)
from mmdit.resources import find_resource, resolve_config

from .recognize import make_config


def load_config(
    model: str | Path | dict | Config | None,
    weights: str | Path | None = None,
) -> tuple[Config, str | None]:
    """Find the config of a model and, where it is known, its weights.

    Args:
        model: None for a config that follows from ``weights``, or one of

            - the path of a config;
            - a folder that ``mmdit train`` wrote: its config, and its last
              checkpoint;
            - a folder that ``mmdit.hub.save_pretrained`` wrote;
            - a name of the model zoo, which is that of its config without
              ``.py``; weights where the zoo lists them;
            - a config.
        weights: Checkpoint to take instead of what the model comes with.

    Returns:
        The config, and the place of the weights or None.
    """
    given = None if weights is None else str(weights)
    if model is None:
        if given is None:
            raise ValueError('neither a model nor weights; give one of them')
        if Path(given).is_dir() and not _is_of_transformers(Path(given)):
            return _find_config(given)
        return config_of_weights(given), given
    cfg, known = _find_config(model)
    return cfg, given or known


def config_of_weights(
    weights: str, injector: str | None = None, text_encoder: str | None = None
) -> Config:
    """Return the config of weights of a published kind, and log what it is.

    Args:
        weights: File, directory or URL of Meta's SAM, transformers' SamModel
            or the DIT authors' models.
        injector: As of :func:`mmdit.apis.recognize.make_config`.
        text_encoder: Directory or hub name of BERT's config and vocabulary,
            by default 'bert-base-uncased'.
    """
    state_dict = read_checkpoint(weights, 'meta')['state_dict']
    cfg, line = make_config(state_dict, injector)
    print_log(f'{weights}: {line}', logger='current')
    if text_encoder is not None:
        set_text_encoder(cfg, text_encoder)
    return cfg


def _find_config(
    model: str | Path | dict | Config,
) -> tuple[Config, str | None]:
    """Find config and weights of what :func:`load_config` lists."""
    if isinstance(model, (dict, Config)):
        cfg = model if isinstance(model, Config) else Config(dict(model))
        return cfg, cfg.get('load_from')
    if not isinstance(model, (str, Path)):
        raise TypeError(
            f'model is a {type(model).__name__}; expected the path of a '
            'config, a name of the model zoo, a folder that mmdit train '
            'wrote, or a Config'
        )
    path, weights = Path(model), None
    if path.is_dir():
        if is_model_folder(path):
            return load_folder(path)
        path, weights = _read_work_dir(path)
    elif not path.is_file():
        path = resolve_config(model)
        weights = _listed_weights(path.stem)
    cfg = Config.fromfile(path)
    use_saved_text_encoder(cfg, path.parent)
    return cfg, weights or cfg.get('load_from')


def _is_of_transformers(folder: Path) -> bool:
    """Tell a folder of ``transformers`` from one of this project."""
    try:
        return 'model_type' in json.loads((folder / 'config.json').read_text())
    except (OSError, TypeError, ValueError, RecursionError):
        return False


def choose_device(device: str | None) -> str:
    """Return the device, which must be here."""
    if device in (None, 'auto'):
        return get_device()
    try:
        torch.empty(0, device=device)
    # PyTorch without CUDA asserts.
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f'device {device!r} cannot be used here ({error}); give cpu, or '
            'auto for whatever there is'
        ) from error
    return str(device)


def _listed_weights(name: str) -> str | None:
    """Return the weights that the model zoo's metafiles give for a config."""
    try:
        index = find_resource('model-index.yml')
    except FileNotFoundError:
        return None
    for metafile in mmengine.load(index)['Import']:
        for entry in mmengine.load(index.parent / metafile)['Models']:
            if Path(entry['Config']).stem == name:
                return entry.get('Weights')
    return None


def _read_work_dir(folder: Path) -> tuple[Path, str]:
    """Return config and last checkpoint of a folder of training."""
    configs, last = sorted(folder.glob('*.py')), find_checkpoint(folder)
    if len(configs) != 1 or last is None:
        raise FileNotFoundError(
            f'{folder} holds {len(configs)} configs and '
            f'{"a" if last else "no"} checkpoint; expected a folder that '
            'mmdit train wrote, with one config'
        )
    return configs[0], str(last)
