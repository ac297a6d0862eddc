"""The kinds of checkpoints that mmdit knows, and how to tell them apart."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from .dit import DIT_PREFIXES, TO_DIT_PREFIXES, add_unread
from .rename import Drop, Renamed, Table, rename
from .sam import (
    HF_SAM_PREFIXES,
    MMPRETRAIN_PREFIXES,
    SAM_PREFIXES,
    TO_HF_SAM_PREFIXES,
    TO_MMPRETRAIN_PREFIXES,
    TO_SAM_PREFIXES,
    add_tied,
)

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
ENCODER = 'backbone.'
# Of an encoder that was saved by itself.
_FIRST = 'patch_embed.proj.weight'
_NOT_ASKED = 'the image encoder is filled alone'
#: What an encoder may lack, and why.
OPTIONAL_PARTS = {
    'backbone.neck.': 'this encoder has no neck (out_channels, out_indices)',
    'backbone.text_injector.': 'this encoder has no text_injector',
}


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


def read_encoder(
    state_dict: Mapping[str, Tensor], source: str = 'auto'
) -> tuple[str, Renamed]:
    """Rename an encoder's keys to mmdit's, and leave all else out.

    Args:
        state_dict: Of any known kind, of another project's model around
            mmdit's encoder, or of the encoder alone.
        source: See :func:`to_mmdit`.

    Returns:
        The name of the source, and the renamed tensors.
    """
    given = strip_module(state_dict)
    found = find_source(given) if source == 'auto' else source
    if found in (None, 'mmdit') and _FIRST in given:
        given, found = {ENCODER + k: v for k, v in given.items()}, 'mmdit'
    if found == 'mmdit':
        others = {key.split('.')[0] + '.' for key in given} - {ENCODER}
        table: Table = {
            ENCODER: ENCODER,
            **{name: Drop(_NOT_ASKED) for name in sorted(others)},
        }
        return found, rename(given, table, SOURCES[found].title)
    found, renamed = to_mmdit(given, source)
    for key in list(renamed.state_dict):
        if not key.startswith(ENCODER):
            del renamed.state_dict[key]
            renamed.drop(key.split('.')[0] + '.', _NOT_ASKED)
    return found, renamed


def drop_absent(renamed: Renamed, expected: Collection[str]) -> None:
    """Leave out the parts that an encoder does not have.

    Args:
        renamed: What :func:`read_encoder` returned; changed in place.
        expected: Names of the encoder's tensors, as mmdit's.
    """
    for prefix, reason in OPTIONAL_PARTS.items():
        if any(key.startswith(prefix) for key in expected):
            continue
        for key in list(renamed.state_dict):
            if key.startswith(prefix):
                del renamed.state_dict[key]
                renamed.drop(prefix, reason)
