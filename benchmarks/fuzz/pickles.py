"""Change pickles: the objects in them, or their opcodes."""

import collections
import io
import pickle
import pickletools
import struct
from random import Random
from typing import Any

import numpy as np

from .trees import OTHERS, VALUES, mutate_bytes, mutate_tree

# What JSON does not have. Copies are made where they are put.
_OBJECTS: tuple = (
    np.int64(3), np.float32(0.5), np.bool_(True), np.array([1, 2]),
    np.array(['a', None], object), (1, 2), ((1,), 2), {1}, frozenset({1}),
    b'bytes', bytearray(b'x'), 1j, range(3), slice(1), Ellipsis, object,
    collections.OrderedDict(a=1), collections.Counter('a'), print,
    *OTHERS,
)  # fmt: skip


def _nested(depth: int) -> bytes:
    """Tuples in tuples: hashing takes a stack frame for each."""
    return b')' + b'\x85' * depth


def _doubled(times: int) -> bytes:
    """A pair of the same pair of ...: small to write, large to walk."""
    return b'K\x01' + b'2\x86' * times


# Pieces that unpicklers have trouble with, and some that would run code.
SNIPPETS: tuple[bytes, ...] = (
    b'r\x00\x00\x00\x04',
    b'r\xff\xff\xff\x7f',
    b'p99999999\n',
    b'\x95\xff\xff\xff\xff\xff\xff\xff\x7f',
    b'\x8d\xff\xff\xff\xff\x00\x00\x00\x00',
    b'X\xff\xff\xff\x7f',
    b'B\x00\x00\x00\x70',
    b'\x96\x00\x00\x00\x70\x00\x00\x00\x00',
    b'\x8b\xff\xff\xff\x7f',
    b'\x8a\xff' + bytes(254) + b'\x01',
    b'I' + b'9' * 4000 + b'\n',
    b'cos\nsystem\n(S"touch PWNED"\ntR',
    b"cbuiltins\neval\n(S\"open('PWNED', 'w')\"\ntR",
    b'cbuiltins\nlist\n(K\x01K\x02ltR',
    b'cbuiltins\nbytearray\nJ\xff\xff\xff\x70\x85R',
    b'c__builtin__\nxrange\nK\x05\x85R',
    b'cnumpy\nndarray\nK\x02\x85X\x01\x00\x00\x00OC\x10AAAAAAAAAAAAAAAA\x87R',
    b'cnumpy\ndtype\nX\x01\x00\x00\x00O\x85R',
    b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01bt'
    b'R',
    b'}' + b'(' + b')' + b'\x85' * 2000 + b'K\x01u',
    b'2' * 100,
    b'(' * 100,
    b']' * 100,
    b'2a',
    b'2s',
    b'b',
    b'R',
    b'\x81',
    b'i',
    b'P1\n',
    b'Q',
    b'\x82\x01',
    b'0',
    b'1',
    b'.',
    _nested(1000),
    _doubled(25),
)
# Whole files that were found to be trouble.
SEEDS: tuple[bytes, ...] = (
    b'\x80\x02]r\x00\x00\x00\x04.',
    b'\x80\x02' + _nested(5000) + b'.',
    b'\x80\x02}' + _nested(5000) + b'K\x01s.',
    b'\x80\x02' + _doubled(30) + b'.',
    b'\x80\x02}' + _doubled(26) + b'K\x01s.',
)


def mutate_pickle(data: bytes, random: Random, trees: tuple) -> bytes:
    """Change a pickle by opcodes or bytes, or pickle one of ``trees`` anew.

    Trees are given, because reading ``data`` could be harmful here, too.
    """
    choice = random.random()
    if choice < 0.45:
        tree = mutate_object(random.choice(trees), random)
        return dump_pickle(tree, random)
    if choice < 0.9:
        return mutate_opcodes(data, random)
    return mutate_bytes(data, random)


def mutate_object(tree: Any, random: Random) -> Any:
    """Change plain data by what pickles can hold."""
    odd = (*VALUES, *_OBJECTS, *_OBJECTS)
    return mutate_tree(tree, random, odd, random.choice((1, 1, 2, 3)))


def dump_pickle(tree: Any, random: Random) -> bytes:
    """Write a pickle of any protocol."""
    for protocol in (random.randrange(6), 4):
        try:
            return pickle.dumps(tree, protocol)
        except Exception:  # old protocols lack some objects
            continue
    return b'\x80\x04N.'


def mutate_opcodes(data: bytes, random: Random) -> bytes:
    """Remove, repeat, swap, insert or alter some opcodes."""
    codes = _split(data)
    if not codes:
        return random.choice(SEEDS)
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(len(codes))
        choice = random.randrange(6)
        if choice == 0 and len(codes) > 1:
            del codes[place]
        elif choice == 1:
            codes.insert(place, codes[place])
        elif choice == 2:
            other = random.randrange(len(codes))
            codes[place], codes[other] = codes[other], codes[place]
        elif choice == 3:
            codes.insert(place, random.choice(SNIPPETS))
        elif choice == 4:
            start, end = sorted((place, random.randrange(len(codes))))
            codes[place:place] = codes[start : min(end, start + 200)]
        else:
            codes[place] = _alter(codes[place], random)
    return b''.join(codes)


def _alter(code: bytes, random: Random) -> bytes:
    """Give an opcode another argument, or an argument another opcode."""
    if len(code) == 5:
        number = random.choice((0, 1, 2**16, 2**26, 2**31 - 1, 2**32 - 1))
        return code[:1] + struct.pack('<I', number)
    if len(code) > 1 and random.random() < 0.7:
        return code[:1] + mutate_bytes(code[1:], random)
    return random.randbytes(1) + code[1:]


def _split(data: bytes) -> list[bytes]:
    """Cut a pickle into its opcodes with their arguments."""
    starts: list[int] = []
    try:
        for _, _, position in pickletools.genops(io.BytesIO(data)):
            starts.append(position or 0)
    except Exception:  # what follows is damaged: one piece
        pass
    ends = [*starts[1:], len(data)]
    return [data[a:b] for a, b in zip(starts, ends, strict=True)]
