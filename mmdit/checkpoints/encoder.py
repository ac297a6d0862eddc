"""The image encoder alone, out of any checkpoint that holds one."""

from collections.abc import Collection, Mapping

from torch import Tensor

from .rename import Drop, Renamed, Table, rename
from .sources import SOURCES, find_source, strip_module, to_mmdit

ENCODER = 'backbone.'
# Of an encoder that was saved by itself.
_FIRST = 'patch_embed.proj.weight'
_NOT_ASKED = 'the image encoder is filled alone'
#: What an encoder may lack, and why.
OPTIONAL_PARTS = {
    'backbone.neck.': 'this encoder has no neck (out_channels, out_indices)',
    'backbone.text_injector.': 'this encoder has no text_injector',
}


def read_encoder(
    state_dict: Mapping[str, Tensor], source: str = 'auto'
) -> tuple[str, Renamed]:
    """Rename an encoder's keys to mmdit's, and leave all else out.

    Args:
        state_dict: Of any known kind, of another project's model around
            mmdit's encoder, or of the encoder alone.
        source: See :func:`mmdit.checkpoints.sources.to_mmdit`.

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
