"""Rename the keys of a state dict by one table of prefixes.

A table maps prefixes to prefixes. ``{i}`` stands for an index, the same on
both sides; a prefix without a final dot ends where a name ends. The longest
prefix that fits a key wins, and a key that none fits is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Drop:
    """In place of a new prefix: leave these keys out.

    Args:
        reason: Why nothing needs them; said to whoever converts a file.
    """

    reason: str


Table = Mapping[str, str | Drop]


@dataclass
class Renamed:
    """What became of a state dict.

    Args:
        state_dict: The renamed tensors.
        dropped: Number of tensors left out, by (prefix, reason).
    """

    state_dict: dict[str, Tensor] = field(default_factory=dict)
    dropped: dict[tuple[str, str], int] = field(default_factory=dict)

    def drop(self, prefix: str, reason: str) -> None:
        """Count a tensor that is left out."""
        count = self.dropped.get((prefix, reason), 0)
        self.dropped[prefix, reason] = count + 1

    def describe_dropped(self) -> list[str]:
        """Say what was left out and why, a line each."""
        return [
            f'dropped {prefix} ({count} tensor{"s" * (count > 1)}): {reason}'
            for (prefix, reason), count in self.dropped.items()
        ]


def rename(
    state_dict: Mapping[str, Tensor], table: Table, kind: str
) -> Renamed:
    """Give every tensor the name that ``table`` has for it.

    Two tensors may share a new name if they are equal: formats that tie
    parameters store them twice.

    Args:
        state_dict: Tensors by their old names.
        table: Prefixes, see the module's docstring.
        kind: What ``state_dict`` is said to be, for errors.
    """
    out = Renamed()
    old_names: dict[str, str] = {}
    for key, value in state_dict.items():
        prefix, new = _look_up(key, table, kind)
        if isinstance(new, Drop):
            out.drop(prefix, new.reason)
            continue
        if new in out.state_dict:
            first = old_names[new]
            # Shapes alone, without values, are taken as they are.
            if not (value.is_meta or torch.equal(out.state_dict[new], value)):
                raise ValueError(
                    f'{first} and {key} of {kind} are the same parameter '
                    f'({new}) but their values differ; remove the wrong one'
                )
            out.drop(key, f'equal to {first}')
            continue
        out.state_dict[new] = value
        old_names[new] = key
    return out


def invert(table: Table) -> dict[str, str | Drop]:
    """Turn a table around; of several old names the first is taken."""
    inverse: dict[str, str | Drop] = {}
    for old, new in table.items():
        if isinstance(new, str):
            inverse.setdefault(new, old)
    return inverse


def _look_up(key: str, table: Table, kind: str) -> tuple[str, str | Drop]:
    """Find the longest prefix of ``key``, and its new name."""
    matches = [
        (match.end(), prefix, match)
        for prefix in table
        if (match := _pattern(prefix).match(key))
    ]
    if not matches:
        raise KeyError(
            f'unknown key {key!r} in {kind}; known are: {", ".join(table)}'
        )
    end, prefix, match = max(matches, key=lambda found: found[0])
    new = table[prefix]
    if isinstance(new, Drop):
        return prefix, new
    return prefix, new.format(**match.groupdict()) + key[end:]


@cache
def _pattern(prefix: str) -> re.Pattern:
    """Compile a prefix; ``{i}`` is an index."""
    parts = re.split(r'\{(\w+)\}', prefix)
    text = ''.join(
        rf'(?P<{part}>\d+)' if n % 2 else re.escape(part)
        for n, part in enumerate(parts)
    )
    return re.compile(text if prefix.endswith('.') else rf'{text}(?=\.|$)')
