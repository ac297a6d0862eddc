"""Change files of a format while what holds them together stays valid."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from .trees import NUMBERS, dump_json, mutate_bytes, mutate_tree

Mutator = Callable[[bytes, Random], bytes]
_PNG = b'\x89PNG\r\n\x1a\n'


def mutate_image(data: bytes, random: Random) -> bytes:
    """Change a header, a block or some bytes of an image."""
    choice = random.random()
    if choice < 0.5 and data.startswith(_PNG):
        return _mutate_png(data, random)
    if choice < 0.5 and data.startswith(b'\xff\xd8'):
        return _mutate_jpeg(data, random)
    if choice < 0.8 and len(data) > 4:
        # Sizes and offsets stand at the beginning of nearly all formats.
        place = random.randrange(min(len(data), 300))
        width = random.choice((1, 2, 4))
        value = random.choice((0, 1, 2**7, 2**15, 2**31, 2**32, 255, 4096))
        order = random.choice(('little', 'big'))
        value %= 256**width
        piece = value.to_bytes(width, order)  # type: ignore[arg-type]
        return data[:place] + piece + data[place + width :]
    return mutate_bytes(data, random)


def _mutate_png(data: bytes, random: Random) -> bytes:
    """Change chunks of a PNG; their checksums are right again."""
    chunks, place = [], len(_PNG)
    while place + 8 <= len(data):
        (size,) = struct.unpack('>I', data[place : place + 4])
        kind = data[place + 4 : place + 8]
        chunks.append((kind, data[place + 8 : place + 8 + size]))
        place += 12 + size
    if not chunks:
        return mutate_bytes(data, random)
    place = random.randrange(len(chunks))
    kind, content = chunks[place]
    choice = random.randrange(4)
    if choice == 0:
        del chunks[place]
    elif choice == 1:
        chunks.insert(place, chunks[place])
    else:
        chunks[place] = kind, mutate_bytes(content, random)
    return _PNG + b''.join(
        struct.pack('>I', len(content))
        + kind
        + content
        + struct.pack('>I', zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _mutate_jpeg(data: bytes, random: Random) -> bytes:
    """Change one segment of a JPEG's header."""
    places, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        places.append(place)
        if data[place + 1] == 0xDA:
            break
        place += 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
    if not places:
        return mutate_bytes(data, random)
    place = random.choice(places)
    end = place + 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
    segment = data[place:end]
    if random.random() < 0.3:
        return data[:place] + segment * random.choice((0, 2)) + data[end:]
    return data[:place] + mutate_bytes(segment, random) + data[end:]


def mutate_zip(
    data: bytes, random: Random, mutate_member: Callable[..., bytes]
) -> bytes:
    """Change the members of a ZIP; its directory is right again.

    Args:
        data: The file.
        random: Where chance comes from.
        mutate_member: Called with name, content and ``random``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(n, archive.read(n)) for n in archive.namelist()]
    except Exception:  # it is damaged already
        return mutate_bytes(data, random)
    if not members or random.random() < 0.1:
        return mutate_bytes(data, random)
    place = random.randrange(len(members))
    name, content = members[place]
    choice = random.random()
    if choice < 0.1:
        del members[place]
    elif choice < 0.2:
        folder = name.partition('/')[0]
        other = random.choice(('../x', 'data.pkl', '', f'{folder}/data/9'))
        members[place] = other, content
    elif choice < 0.25:
        members.insert(place, members[place])
    else:
        members[place] = name, mutate_member(name, content, random)
    method = random.choice((zipfile.ZIP_STORED,) * 5 + (zipfile.ZIP_DEFLATED,))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def mutate_safetensors(data: bytes, random: Random) -> bytes:
    """Change header or bytes of a safetensors file."""
    size = int.from_bytes(data[:8], 'little')
    header, body = data[8 : 8 + size], data[8 + size :]
    choice = random.random()
    try:
        tree = json.loads(header)
    except (ValueError, RecursionError):
        choice = 1
    if choice < 0.7:
        header = dump_json(mutate_tree(tree, random, times=2), random)
    elif choice < 0.8:
        body = mutate_bytes(body, random)
    elif choice < 0.9:
        size = random.choice((0, 1, 2**32, 2**63, 2**64 - 1, 10**8, 10**8 + 1))
        return size.to_bytes(8, 'little') + data[8:]
    else:
        return mutate_bytes(data, random)
    return len(header).to_bytes(8, 'little') + header + body


def mutate_csv(data: bytes, random: Random) -> bytes:
    """Change a cell, a line or some bytes of a CSV."""
    lines = data.split(b'\n')
    if random.random() < 0.3 or not lines:
        return mutate_bytes(data, random)
    place = random.randrange(len(lines))
    cells = lines[place].split(b',')
    cell = random.randrange(len(cells))
    odd = (*map(str, NUMBERS[:20]), '', '"', '""', '1e999', ' 3', '３', '\0',
           '9' * 5000, 'x' * 140_000, '1_0', '0x1')  # fmt: skip
    choice = random.randrange(5)
    if choice == 0:
        del cells[cell]
    elif choice == 1:
        cells.insert(cell, cells[cell])
    else:
        cells[cell] = random.choice(odd).encode()
    lines[place] = b','.join(cells)
    return b'\n'.join(lines)
