"""A model's config as JSON, which says what to build and cannot run code.

MMEngine's configs are Python: reading an untrusted one would run it. And a
``type`` that is in no registry is imported by its full name:
``subprocess.Popen`` would do. So a folder holds plain JSON, and what it names
must be registered.
"""

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from mmdit.datasets.pipeline import find_pipeline
from mmdit.files import read_json, write_text
from mmdit.registry import MODELS, TRANSFORMS

FILE = 'config.json'
# JSON has lists only, but MMCV tells a size by its being a tuple.
TUPLE = '__tuple__'
_SHOWN = 100
_KEYS = {'default_scope', 'model', 'test_dataloader'}


def make_config(cfg: Any) -> dict:
    """Return what inference needs, as values of JSON.

    Args:
        cfg: A config with ``model`` and ``test_dataloader``, of which the
            pipeline and the batch size are kept.

    Raises:
        TypeError: It holds what JSON does not have.
        ValueError: It names what is not registered.
    """
    loader = cfg.test_dataloader
    dataset = dict(pipeline=find_pipeline(loader.dataset))
    content = dict(
        default_scope='mmdit',
        model=cfg.model,
        test_dataloader=dict(batch_size=loader.batch_size, dataset=dataset),
    )
    plain = _encode(content, '')
    _check_content(plain, 'the config')
    return plain


def write_config(content: dict, folder: Path) -> None:
    """Write ``config.json``."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    write_text(folder / FILE, text + '\n')


def read_config(folder: Path) -> Config:
    """Read and check ``config.json``.

    Raises:
        ValueError: It is not JSON, or says more than what to build.
    """
    path = folder / FILE
    content = read_json(path, 'download it again')
    try:
        _check_content(content, str(path))
        return Config(_decode(content))
    except RecursionError as error:
        raise ValueError(f'{path} is nested too deeply') from error


def _encode(value: Any, place: str) -> Any:
    """Turn a value of a config into one of JSON.

    How weights were once initialized is left out: they come with the folder,
    and the paths are of another machine.
    """
    if isinstance(value, dict):
        return {
            str(key): _encode(entry, f'{place}.{key}')
            for key, entry in value.items()
            if key != 'init_cfg'
        }
    if isinstance(value, (list, tuple)):
        entries = [_encode(entry, f'{place}[]') for entry in value]
        return {TUPLE: entries} if isinstance(value, tuple) else entries
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f'{place.removeprefix(".")} of the config is a '
        f'{type(value).__name__}, which JSON does not have; give numbers, '
        'strings, lists and dicts, and classes by their registered names'
    )


def _decode(value: Any) -> Any:
    """Undo :func:`_encode`."""
    if isinstance(value, list):
        return [_decode(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {TUPLE} and isinstance(value[TUPLE], list):
        return tuple(_decode(entry) for entry in value[TUPLE])
    return {key: _decode(entry) for key, entry in value.items()}


def _check_content(content: Any, name: str) -> None:
    """Reject other keys than expected, and what is not registered."""
    if not isinstance(content, dict) or content.keys() != _KEYS:
        keys = sorted(content) if isinstance(content, dict) else content
        raise ValueError(
            f'{name} has {_short(keys)}, expected {sorted(_KEYS)}; '
            'mmdit.hub.save_pretrained writes it'
        )
    if content['default_scope'] != 'mmdit':
        raise ValueError(
            f'{name}: default_scope is {_short(content["default_scope"])}, '
            "expected 'mmdit'"
        )
    model, loader = content['model'], content['test_dataloader']
    is_model = isinstance(model, dict) and 'type' in model
    if not is_model or not _is_loader(loader):
        raise ValueError(
            f'{name}: model is {_short(model)}, test_dataloader is '
            f'{_short(loader)}; expected a dict with the type of the model, '
            'and one with batch_size and the pipeline of its dataset'
        )
    _check_types(model, MODELS, name)
    _check_types(loader, TRANSFORMS, name)


def _is_loader(loader: Any) -> bool:
    """Tell whether a loader is as :func:`make_config` writes it."""
    try:
        size, pipeline = loader['batch_size'], loader['dataset']['pipeline']
    except (KeyError, TypeError):
        return False
    return (
        type(size) is int
        and size > 0
        and isinstance(pipeline, list)
        and all(isinstance(step, dict) and 'type' in step for step in pipeline)
    )


def _short(value: Any) -> str:
    """Write the beginning of a value."""
    return repr(value)[:_SHOWN]


def _check_types(value: Any, registry: Registry, name: str) -> None:
    """Reject a ``type`` that is not registered, anywhere below."""
    if isinstance(value, list):
        for entry in value:
            _check_types(entry, registry, name)
    if not isinstance(value, dict):
        return
    if 'init_cfg' in value:
        raise ValueError(f'{name} has init_cfg; the weights are in the folder')
    if 'type' in value and not _is_registered(value['type'], registry):
        raise ValueError(
            f'{name}: type {_short(value["type"])} is not in the registry '
            f'{registry.name!r}; import the module that registers it, or '
            'update mmdit'
        )
    for entry in value.values():
        _check_types(entry, registry, name)


def _is_registered(key: Any, registry: Registry) -> bool:
    """Tell whether a name is registered, without importing what it names."""
    if not isinstance(key, str):
        return False
    scope, name = Registry.split_scope_key(key)
    root = registry.parent
    assert root is not None
    if scope is None or scope == registry.scope:
        own = [registry, root] if scope is None else [registry]
    else:
        own = [r for r in (root, *root.children.values()) if r.scope == scope]
    for one in own:
        one.import_from_location()
        if name in one.module_dict:
            return True
    return False
