"""What a training or a test needs, looked for before anything starts."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmdit.checkpoints.files import HF_FILES, cached_path, read_state_dict
from mmdit.checkpoints.sources import to_mmdit
from mmdit.checkpoints.work_dir import list_checkpoints
from mmdit.downloads import is_url
from mmdit.registry import DATASETS, build_part

OFFLINE = 'HF_HUB_OFFLINE is set'


def check_needs(cfg: Config, tested: Sequence[dict] | None = None) -> None:
    """Exit with status 1 where something is missing, and name all of it.

    What comes from the web is only named, unless ``HF_HUB_OFFLINE`` says that
    nothing can be fetched.

    Args:
        cfg: The config of a training.
        tested: The data sets of a test instead, which loads ``load_from``.
    """
    needs = _Needs()
    if tested is None:
        loaders = ('train_dataloader', 'val_dataloader')
        needs.add_data(
            [(cfg.get(key) or {}).get('dataset') for key in loaders]
        )
        start = _start(cfg)
    else:
        needs.add_data(tested)
        start = cfg.load_from
    places = (
        dict(_initial_weights(cfg.model, 'model'))
        if start is None
        else {'load_from': start}
    )
    for key, place in places.items():
        needs.add_weights(key, place)
    if encoder := cfg.model.get('text_encoder'):
        needs.add_text_encoder(encoder, places.values())
    if needs.fetched:
        names = ', '.join(dict.fromkeys(needs.fetched))
        sys.stderr.write(f'to be fetched: {names}\n')
    if needs.missing:
        # Training and validation often lack the same.
        lines = enumerate(dict.fromkeys(needs.missing), 1)
        sys.exit(
            f'error: {"training" if tested is None else "the test"} cannot '
            'start, for these are missing:\n'
            + '\n'.join(f'{number:3}. {line}' for number, line in lines)
        )


class _Needs:
    """What is missing, with the cure of each, and what is fetched."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.fetched: list[str] = []

    def add_data(self, cfg: Any) -> None:
        """Check a data set, or all that are in a wrapper."""
        if isinstance(cfg, (list, tuple)):
            for one in cfg:
                self.add_data(one)
        if not isinstance(cfg, dict) or 'type' not in cfg:
            return
        for key in ('dataset', 'datasets'):
            self.add_data(cfg.get(key))
        kind = cfg['type']
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        if hasattr(kind, 'list_missing'):
            settings = {key: cfg[key] for key in cfg if key != 'type'}
            settings |= dict(lazy_init=True, pipeline=[])
            self.missing += kind(**settings).list_missing()

    def add_weights(self, key: str, place: str) -> None:
        """Look for a checkpoint, which ``key`` of the config names."""
        if is_url(place):
            path = cached_path(place)
            if not path.is_file() and _is_offline():
                self.missing.append(
                    f'{place} is not in the cache ({path}) and {OFFLINE}: '
                    f'download it elsewhere and set {key}=FILE'
                )
            elif not path.is_file():
                self.fetched.append(place)
        elif '://' not in place and not Path(place).expanduser().exists():
            self.missing.append(
                f'{place} does not exist: set {key} or --weights to a file, '
                'directory or URL (docs/checkpoints.md)'
            )

    def add_text_encoder(self, cfg: dict, weights: Iterable[str]) -> None:
        """Build a text encoder without its weights, to see what it lacks.

        Args:
            cfg: Its config.
            weights: Checkpoints that may bring its weights.
        """
        place = cfg.get('pretrained')
        if place is not None and _is_on_hub(place):
            self.fetched.append(f'{place} (Hugging Face hub)')
            return
        try:
            with torch.device('meta'):
                build_part(cfg)
        except (OSError, ImportError) as error:
            self.missing.append(str(error))
            return
        if (
            place is not None
            and not _has_weights(place)
            and not any(map(_may_hold_text, weights))
        ):
            self.missing.append(
                f'{place} holds no weights of the text encoder: download its '
                f'{HF_FILES[0]} into a directory, with its config and '
                'vocabulary, and give that as --text-encoder DIR'
            )


def _start(cfg: Config) -> str | None:
    """Return the checkpoint that all weights come from, if there is one."""
    place = cfg.get('load_from')
    resume = cfg.get('resume')
    if resume and (resume == 'auto' or place is None):
        folder = Path(cfg.work_dir)
        return str(folder) if list_checkpoints(folder) else place
    return place


def _initial_weights(cfg: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the checkpoints of every ``init_cfg``, with their keys."""
    if isinstance(cfg, dict):
        init_cfg = cfg.get('init_cfg')
        if isinstance(init_cfg, dict) and init_cfg.get('checkpoint'):
            yield f'{key}.init_cfg.checkpoint', init_cfg['checkpoint']
        for name, value in cfg.items():
            yield from _initial_weights(value, f'{key}.{name}')


def _is_offline() -> bool:
    """Tell whether the Hugging Face hub's own switch is set."""
    with suppress(ImportError):
        from huggingface_hub import constants

        return constants.HF_HUB_OFFLINE
    return False


def _is_on_hub(place: str) -> bool:
    """Tell whether a text encoder will be fetched from the hub."""
    if Path(place).is_dir() or _is_offline():
        return False
    with suppress(ImportError, ValueError):
        from huggingface_hub.utils import validate_repo_id

        validate_repo_id(place)
        return True
    return False


def _has_weights(place: str) -> bool:
    """Tell whether a directory, or the cache of the hub, has weights."""
    from huggingface_hub import try_to_load_from_cache

    names = [*HF_FILES, *(f'{name}.index.json' for name in HF_FILES)]
    if Path(place).is_dir():
        return any((Path(place) / name).is_file() for name in names)
    found = (try_to_load_from_cache(place, name) for name in names)
    return any(isinstance(path, str) for path in found)


def _may_hold_text(place: str) -> bool:
    """Tell whether a checkpoint may be of a whole model, not SAM alone."""
    if is_url(place) or not Path(place).exists():
        return is_url(place)
    try:
        renamed = to_mmdit(read_state_dict(place))[1]
    except (OSError, ValueError, KeyError):
        return True  # the training itself will say what it is
    return any(key.startswith('text_encoder.') for key in renamed.state_dict)
