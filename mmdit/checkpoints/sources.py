"""The kinds of checkpoints that mmdit knows, and how to tell them apart."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from .dit import DIT_PREFIXES, TO_DIT_PREFIXES, add_unread
from .hf_sam import HF_SAM_PREFIXES, TO_HF_SAM_PREFIXES, add_tied
from .mmpretrain import MMPRETRAIN_PREFIXES, TO_MMPRETRAIN_PREFIXES
from .rename import Renamed, Table, rename
from .sam import SAM_PREFIXES, TO_SAM_PREFIXES

MMDIT_PREFIXES: Table = {
    name: name
    for name in (
        'backbone.',
        'decode_head.',
        'text_encoder.',
        'data_preprocessor.',
    )
}
SHOWN = 4


@dataclass(frozen=True)
class Source:
    """A kind of checkpoint.

    Args:
        title: How messages call it.
        signature: Prefix that only this kind's keys have.
        table: From its keys to mmdit's.
        inverse: From mmdit's keys to its own.
        complete: Adds what the kind stores besides.
    """

    title: str
    signature: str
    table: Table
    inverse: Table
    complete: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict


SOURCES = {
    'sam': Source(
        "Meta's SAM", 'image_encoder.', SAM_PREFIXES, TO_SAM_PREFIXES
    ),
    'hf-sam': Source(
        "transformers' SamModel",
        'vision_encoder.',
        HF_SAM_PREFIXES,
        TO_HF_SAM_PREFIXES,
        add_tied,
    ),
    'dit': Source(
        "the DIT authors' checkpoint",
        'visual_encoder.',
        DIT_PREFIXES,
        TO_DIT_PREFIXES,
        add_unread,
    ),
    'mmpretrain': Source(
        "MMPreTrain's ViTSAM",
        'backbone.layers.0.ln1.',
        MMPRETRAIN_PREFIXES,
        TO_MMPRETRAIN_PREFIXES,
    ),
    'mmdit': Source(
        "mmdit's own checkpoint", 'backbone.', MMDIT_PREFIXES, MMDIT_PREFIXES
    ),
}


def find_source(keys: Iterable[str]) -> str | None:
    """Name the kind of checkpoint that has these keys, if it is known."""
    keys = list(keys)
    found = [
        name
        for name, source in SOURCES.items()
        if any(key.startswith(source.signature) for key in keys)
    ]
    if 'mmpretrain' in found:
        # A segmentor of ours may have that encoder.
        ours = any(key.startswith('decode_head.mask_decoder.') for key in keys)
        found.remove('mmpretrain' if ours else 'mmdit')
    return found[0] if len(found) == 1 else None


def get_source(name: str, keys: Iterable[str]) -> str:
    """Check the name of a source, or find it if ``name`` is 'auto'."""
    if name in SOURCES:
        return name
    known = '; '.join(
        f'{key!r} ({source.title}, keys {source.signature}*)'
        for key, source in SOURCES.items()
    )
    if name != 'auto':
        raise ValueError(
            f"unknown source {name!r}; known: 'auto' (find out); {known}"
        )
    keys = list(keys)
    found = find_source(keys)
    if found is None:
        more = f' and {len(keys) - SHOWN} more' * (len(keys) > SHOWN)
        raise KeyError(
            f'unknown kind of checkpoint with the keys '
            f'{", ".join(keys[:SHOWN])}{more}; known kinds: {known}'
        )
    return found


def strip_module(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take away the ``module.`` that parallel wrappers put before keys."""
    stripped = dict(state_dict)
    while stripped and all(key.startswith('module.') for key in stripped):
        stripped = {
            key.removeprefix('module.'): value
            for key, value in stripped.items()
        }
    return stripped


def to_mmdit(
    state_dict: Mapping[str, Tensor], source: str = 'auto'
) -> tuple[str, Renamed]:
    """Rename the keys of any known checkpoint to mmdit's.

    Returns:
        The name of the source, and the renamed tensors.
    """
    stripped = strip_module(state_dict)
    source = get_source(source, stripped)
    kind = SOURCES[source]
    return source, rename(stripped, kind.table, kind.title)


def from_mmdit(state_dict: Mapping[str, Tensor], target: str) -> Renamed:
    """Rename mmdit's keys to those of another kind of checkpoint."""
    kind = SOURCES[target]
    renamed = rename(state_dict, kind.inverse, SOURCES['mmdit'].title)
    renamed.state_dict = kind.complete(renamed.state_dict)
    return renamed
