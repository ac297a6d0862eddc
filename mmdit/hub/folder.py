"""Write a model as a folder, and read it back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdit.checkpoints.loading import load_weights
from mmdit.checkpoints.settings import KEY, TRAINED_ON, describe_settings
from mmdit.checkpoints.writing import write_file
from mmdit.datasets.pipeline import image_steps
from mmdit.models.text_encoders.saving import TEXT_ENCODER
from mmdit.registry import MODELS
from mmdit.runtime.wording import Wording

from .card import write_card
from .checking import check_model
from .config import FILE, make_config, read_config, write_config

WEIGHTS = 'model.safetensors'
_SHOWN = 100


def save_pretrained(
    model: Any,
    cfg: Any,
    folder: str | Path,
    *,
    license: str | None = None,
    tags: Sequence[str] = (),
    base_model: str | None = None,
    measured: Mapping[str, Sequence[dict]] | None = None,
    origin: str | None = None,
) -> Path:
    """Write a model as a folder that is complete in itself.

    ``config.json`` (model and test pipeline), ``model.safetensors``,
    ``text_encoder/`` (its config and tokenizer) and ``README.md``. The
    folder may be moved anywhere; loading it runs none of its contents.

    Args:
        model: A :class:`ReferringSegmentor`.
        cfg: Its config.
        folder: Where to write; its name is that of the model.
        license: As of :func:`write_card`, like all that follow.
        tags: Likewise.
        base_model: Likewise.
        measured: Likewise.
        origin: Likewise.

    Returns:
        The folder.

    Raises:
        FileExistsError: The folder is not empty.
    """
    folder = Path(folder).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f'{folder} is not empty; give a new one')
    content = make_config(cfg)
    folder.mkdir(parents=True, exist_ok=True)
    if model.text_encoder is not None:
        content['model']['text_encoder'] = _save_text_encoder(
            content['model']['text_encoder'], model.text_encoder, folder
        )
    write_config(content, folder)
    settings = describe_settings(model, image_steps(cfg))
    trained_on = getattr(model, TRAINED_ON, None) or cfg.get(TRAINED_ON)
    if trained_on:
        settings[TRAINED_ON] = trained_on
    meta = dict(meta={KEY: settings})
    write_file(folder / WEIGHTS, model.state_dict(), meta)
    model.trained_on = trained_on
    knows = Wording.of(model.text_encoder).describe(trained_on)
    write_card(folder, license, tags, base_model, measured, origin, knows)
    return folder


def from_pretrained(source: str | Path, device: str = 'cpu') -> Any:
    """Load a model that :func:`save_pretrained` wrote.

    Args:
        source: Its folder, or its name on the Hugging Face hub.
        device: Where to put it.

    Returns:
        The model in evaluation mode; ``model.cfg`` is its config.
    """
    folder = Path(source)
    if not folder.is_dir():
        from .sharing import download

        folder = download(str(source))
    cfg, weights = load_folder(folder)
    with DefaultScope.overwrite_default_scope('mmdit'):
        model = MODELS.build(cfg.model)
    load_weights(model, cfg, weights)
    model.cfg = cfg
    return model.to(device).eval()


def is_model_folder(folder: Path) -> bool:
    """Tell whether :func:`save_pretrained` wrote a folder."""
    return (folder / FILE).is_file() and (folder / WEIGHTS).is_file()


def load_folder(folder: Path) -> tuple[Config, str]:
    """Return config and weights of a folder.

    Raises:
        FileNotFoundError: A part of it is not there.
        ValueError: It names files outside or what is not registered, or
            describes no model of the size of its weights.
    """
    if not is_model_folder(folder):
        raise FileNotFoundError(
            f'{folder} holds no {FILE} with {WEIGHTS}; expected a folder that '
            'mmdit.hub.save_pretrained wrote'
        )
    cfg = read_config(folder)
    encoder = cfg.model.get('text_encoder')
    if encoder is not None:
        given = encoder.get('pretrained') if isinstance(encoder, dict) else ''
        if given != TEXT_ENCODER:
            raise ValueError(
                f'{folder / FILE}: pretrained of text_encoder is '
                f'{str(given)[:_SHOWN]!r}, expected {TEXT_ENCODER!r}, the '
                'folder beside it'
            )
        inner = folder / TEXT_ENCODER
        if not (inner / 'config.json').is_file():
            raise FileNotFoundError(f'{inner} holds no config.json')
        encoder.pretrained = str(inner)
    check_model(cfg.model, folder / FILE, folder / WEIGHTS)
    return cfg, str(folder / WEIGHTS)


def _save_text_encoder(config: dict, encoder: Any, folder: Path) -> dict:
    """Write the config and tokenizer; return the encoder's new config."""
    from mmdit.models.text_encoders import HFTextEncoder

    if not isinstance(encoder, HFTextEncoder):
        raise TypeError(
            f'cannot save a text encoder of type {type(encoder).__name__}; '
            'expected an HFTextEncoder or BertTextEncoder'
        )
    encoder.save_parts(folder / TEXT_ENCODER)
    kept = {
        key: value
        for key, value in config.items()
        if key not in ('config', 'vocab_file')
    }
    return dict(kept, pretrained=TEXT_ENCODER)
