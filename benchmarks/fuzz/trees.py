"""Change plain data, and JSON text, in places that readers trust."""

import copy
import json
import pickle
from collections.abc import Callable
from random import Random
from typing import Any

# Text that json.dumps cannot write takes the place of these strings.
_RAW = {
    '@raw:1e999': '1e999',
    '@raw:-1e999': '-1e999',
    '@raw:digits': '9' * 5000,
    '@raw:deep': '[' * 3000 + ']' * 3000,
    '@raw:unclosed': '[' * 100_000,
    '@raw:NaN': 'NaN',
    '@raw:twice': '{"id": 1, "id": 2}',
}
NUMBERS: tuple = (
    0, -1, 1, 2, 0.5, 1.5, -0.0, 1e-320, 1e7, 1e9, 1e10, 1e308, -1e308,
    float('nan'), float('inf'), float('-inf'), 255, 256, 65535, 65536,
    2**31 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64,
    10**30, 10**400,
)  # fmt: skip
TEXTS: tuple = (
    '', ' ', '\x00', '\ud800', 'a\udcff', '\ufeff', '１２', '1', '-1', '1.0',
    'nan', 'true', '.', '..', '/', '/etc/passwd', 'http://127.0.0.1:9/x.png',
    's3://bucket/x', 'file:///etc/passwd', 'a' * 10_000, '字' * 300,
    'e\u0301', '\u202e', '<script>', '{0}', '%s', '../../x', '\\x', 'a\nb',
    *_RAW,
)  # fmt: skip
OTHERS: tuple = (None, True, False, [], {}, [[]], [None], {'': None}, [1, [2]])
VALUES = (*NUMBERS, *TEXTS, *OTHERS)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """List (container, key) of every value below the root."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            keys: Any = list(node)
        elif isinstance(node, list):
            keys = range(len(node))
        else:
            continue
        found += [(node, key) for key in keys]
        waiting += [node[key] for key in keys]
    return found


def mutate_tree(
    tree: Any, random: Random, values: tuple = VALUES, times: int = 1
) -> Any:
    """Return a copy of plain data in which a few things are odd."""
    tree = _copy(tree)
    for _ in range(times):
        found = places(tree)
        if not found:
            return copy.deepcopy(random.choice(values))
        container, key = random.choice(found)
        random.choice(_CHANGES)(container, key, found, values, random)
    return tree


def _copy(tree: Any) -> Any:
    """Copy, ten times as fast as deepcopy where pickle can."""
    try:
        return pickle.loads(pickle.dumps(tree, -1))
    except Exception:
        return copy.deepcopy(tree)


def _replace(
    container: Any, key: Any, found: list, values: tuple, random: Random
) -> None:
    container[key] = copy.deepcopy(random.choice(values))


def _replace_number(
    container: Any, key: Any, found: list, values: tuple, random: Random
) -> None:
    old = container[key]
    if isinstance(old, bool) or not isinstance(old, (int, float)):
        container[key] = copy.deepcopy(random.choice(values))
        return
    container[key] = random.choice(
        (str(old), -old, old * 10, old + 1, old - 1, float(old), [old],
         old + 0.5, random.choice(NUMBERS))
    )  # fmt: skip


def _delete(
    container: Any, key: Any, found: list, values: tuple, random: Random
) -> None:
    del container[key]


def _repeat(
    container: Any, key: Any, found: list, values: tuple, random: Random
) -> None:
    """Repeat an entry of a list; a dict gets it under an odd name."""
    value = copy.deepcopy(container[key])
    if isinstance(container, list):
        container[key:key] = [value] * random.choice((1, 1, 2, 50))
    else:
        container[random.choice((f'{key}2', '', key.upper()))] = value


def _swap(
    container: Any, key: Any, found: list, values: tuple, random: Random
) -> None:
    """Put a value of elsewhere here."""
    other, place = random.choice(found)
    if place in (other if isinstance(other, dict) else range(len(other))):
        container[key] = copy.deepcopy(other[place])


def _wrap(
    container: Any, key: Any, found: list, values: tuple, random: Random
) -> None:
    old = container[key]
    container[key] = random.choice(([old], [[old]], {'a': old}, [old, old]))


_CHANGES: tuple[Callable[[Any, Any, list, tuple, Random], None], ...] = (
    _replace,
    _replace,
    _replace_number,
    _replace_number,
    _delete,
    _repeat,
    _swap,
    _wrap,
)


def dump_json(tree: Any, random: Random) -> bytes:
    """Write a tree as JSON, with what ``json.dumps`` cannot write."""
    text = json.dumps(_shown(tree), ensure_ascii=random.random() < 0.7)
    for name, raw in _RAW.items():
        text = text.replace(json.dumps(name), raw)
    return text.encode('utf-8', 'surrogatepass')


def _shown(tree: Any) -> Any:
    """Replace whole numbers that are too long to be written."""
    if isinstance(tree, dict):
        return {str(key): _shown(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_shown(value) for value in tree]
    if isinstance(tree, int) and tree.bit_length() > 13_000:
        return '@raw:digits'
    return tree


def mutate_json(data: bytes, random: Random) -> bytes:
    """Change a JSON text; bytes that are none are changed as bytes."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    if random.random() < 0.1:
        return mutate_bytes(data, random)
    changed = mutate_tree(tree, random, times=random.choice((1, 1, 2, 4)))
    try:
        return dump_json(changed, random)
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)


def mutate_lines(data: bytes, random: Random) -> bytes:
    """Change lines of JSON: their content, number and ends."""
    lines = data.split(b'\n')
    place = random.randrange(len(lines))
    choice = random.random()
    if choice < 0.8:
        lines[place] = mutate_json(lines[place], random)
    elif choice < 0.9:
        lines.insert(place, lines[place])
    else:
        lines[place] = mutate_bytes(lines[place], random)
    return random.choice((b'\n', b'\n', b'\n', b'\r\n')).join(lines)


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Cut, repeat, insert or overwrite some bytes."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5))):
        place = random.randrange(len(changed) + 1)
        size = random.choice((1, 1, 2, 4, 8, 64))
        choice = random.randrange(6)
        if choice == 0:
            del changed[place:]
        elif choice == 1:
            del changed[place : place + size]
        elif choice == 2:
            changed[place:place] = changed[place : place + size]
        elif choice == 3:
            changed[place:place] = random.randbytes(size)
        elif choice == 4 and place < len(changed):
            changed[place] ^= 1 << random.randrange(8)
        else:
            number = random.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 65535))
            order = random.choice(('little', 'big'))
            width = random.choice((4, 4, 8))
            changed[place : place + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
    return bytes(changed)
