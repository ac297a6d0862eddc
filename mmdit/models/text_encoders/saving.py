"""What a text encoder reads besides weights, kept in the folder of a run."""

import shutil
from pathlib import Path
from typing import Any

TEXT_ENCODER = 'text_encoder'
VOCAB = 'vocab.txt'


def save_text_encoder(encoder: Any, folder: Path) -> None:
    """Write config and tokenizer of a text encoder below ``folder``.

    Args:
        encoder: A :class:`HFTextEncoder`; others, and None, keep nothing.
        folder: Of a training run.
    """
    if not hasattr(encoder, 'save_parts'):
        return
    inner = folder / TEXT_ENCODER
    encoder.save_parts(inner)
    own, vocab_file = inner / VOCAB, getattr(encoder, 'vocab_file', None)
    if vocab_file and Path(vocab_file).resolve() != own.resolve():
        shutil.copyfile(vocab_file, own)


def use_saved_text_encoder(
    cfg: Any, folder: Path, trains: bool = False
) -> None:
    """Let a config find what :func:`save_text_encoder` has written beside it.

    Paths of the config are relative to where training was started, or of
    another machine.

    Args:
        cfg: The config, changed in place.
        folder: Where it is.
        trains: Training may need the weights of ``pretrained``, which are not
            kept.
    """
    encoder = (cfg.get('model') or {}).get('text_encoder') or {}
    inner = folder.absolute() / TEXT_ENCODER
    if encoder.get('vocab_file') and (inner / VOCAB).is_file():
        encoder['vocab_file'] = str(inner / VOCAB)
        return
    has_config = (inner / 'config.json').is_file()
    if encoder.get('pretrained') and has_config and not trains:
        encoder['pretrained'] = str(inner)


def set_text_encoder(cfg: Any, pretrained: str) -> None:
    """Let a config read the text encoder's config and vocabulary elsewhere.

    Args:
        cfg: The config, changed in place.
        pretrained: A directory or a name of the Hugging Face hub.

    Raises:
        ValueError: The model reads no text, or has a vocabulary of its own.
    """
    encoder = cfg.model.get('text_encoder')
    if encoder is None or encoder.get('pretrained') is None:
        kind = 'reads no text' if encoder is None else 'has its own vocabulary'
        raise ValueError(
            f'text encoder {pretrained!r} has no effect on a model that '
            f'{kind}; leave it out'
        )
    encoder.pretrained = pretrained
