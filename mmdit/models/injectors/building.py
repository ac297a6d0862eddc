"""From a config to an injector."""

from typing import Any

from mmdit.registry import MODELS, build_part

from .base import TextInjector


def build_injector(
    cfg: dict,
    embed_dims: int,
    depth: int,
    text_dims: int,
    last_block: int | None = None,
) -> TextInjector:
    """Build an injector for the encoder blocks that see text.

    Args:
        cfg: Config of an injector. Beside its arguments, that of every
            injector may have ``first_block``, the first block that sees text
            (0): those before it are plain blocks. The injector is built for
            the others that run, as if they were the whole encoder.
        embed_dims: Encoder width C.
        depth: Number of encoder blocks.
        text_dims: Width D of the text.
        last_block: The last block that runs; by default that of the encoder.

    Raises:
        ValueError: No such injector is known, or ``first_block`` is no block
            that runs.
    """
    cfg = dict(cfg)
    first = cfg.pop('first_block', 0)
    last = depth - 1 if last_block is None else last_block
    if type(first) is not int or not 0 <= first <= last:
        raise ValueError(
            f'first_block of text_injector must be a block from 0 to {last}, '
            f'got {first!r}; without text in the encoder, set '
            'text_injector=None'
        )
    _check_known(cfg)
    sizes: dict[str, Any] = dict(embed_dims=embed_dims, text_dims=text_dims)
    injector = build_part(cfg, dict(sizes, depth=last + 1 - first))
    injector.first_block = first
    return injector


def _check_known(cfg: dict) -> None:
    """Reject an unknown injector, naming the known ones."""
    if isinstance(cfg['type'], type) or MODELS.get(cfg['type']) is not None:
        return
    with MODELS.switch_scope_and_registry(None) as current:
        if current.get(cfg['type']) is not None:
            return
    known = [
        name
        for name, cls in sorted(MODELS.module_dict.items())
        if isinstance(cls, type) and issubclass(cls, TextInjector)
    ]
    raise ValueError(
        f'unknown type {cfg["type"]!r} of text_injector; known: '
        f'{", ".join(known)}. A class of your own must be registered: '
        "custom_imports=dict(imports=['your.module'])"
    )
