"""Photographs, and PNGs whose pixels are labels."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmdit.datasets.transforms import LoadReferImage, LoadReferMask
from mmdit.runtime.images import read_image

from ..formats import mutate_image
from ..judging import Target

_HEIGHT, _WIDTH = 12, 20
_KINDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ('PNG', 'RGB', {}),
    ('PNG', 'RGBA', {}),
    ('PNG', 'P', {}),
    ('PNG', 'L', {}),
    ('PNG', '1', {}),
    ('PNG', 'I;16', {}),
    ('JPEG', 'RGB', {}),
    ('JPEG', 'L', dict(progressive=True)),
    ('JPEG', 'CMYK', {}),
    ('WEBP', 'RGB', dict(lossless=True)),
    ('WEBP', 'RGBA', {}),
    ('GIF', 'P', {}),
    ('BMP', 'RGB', {}),
    ('TIFF', 'RGB', {}),
    ('TIFF', 'RGB', dict(compression='tiff_lzw')),
    ('TIFF', 'F', {}),
    ('TIFF', 'I', {}),
    ('TIFF', 'I;16', {}),
    ('PPM', 'RGB', {}),
    ('TGA', 'RGB', {}),
    ('ICO', 'RGBA', {}),
    ('PCX', 'RGB', {}),
    ('JPEG2000', 'RGB', {}),
    ('AVIF', 'RGB', {}),
)


def _encode(file_format: str, mode: str, options: dict) -> bytes:
    """Write an image; nothing where Pillow was built without the format."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (_HEIGHT, _WIDTH, 3), np.uint8)
    image = Image.fromarray(pixels)
    gray = image.convert('L')
    if mode == 'I;16':
        image = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    else:
        image = (gray if mode in ('I', 'F') else image).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    if file_format in ('JPEG', 'PNG', 'WEBP', 'TIFF', 'AVIF'):
        options = dict(options, exif=exif)
    buffer = BytesIO()
    try:
        image.save(buffer, file_format, **options)
    except (KeyError, OSError):
        return b''
    return buffer.getvalue()


def _seeds(formats: str = '') -> list[bytes]:
    encoded = (_encode(*kind) for kind in _KINDS if formats in kind[0])
    return [data for data in encoded if data]


def make_images(folder: Path) -> Target:
    """Photographs, as inference and as training reads them."""
    path = folder / 'photo.jpg'
    load = LoadReferImage()
    return Target(
        path,
        [
            lambda: read_image(str(path)),
            lambda: load.transform(dict(img_path=str(path))),
        ],
        _seeds(),
        mutate_image,
        (path.name,),
        memory_mb=1024,
    )


def make_label_pngs(folder: Path) -> Target:
    """Masks of JSON lines that are PNGs."""
    path = folder / 'mask.png'
    draw = LoadReferMask()
    item = dict(
        img_path='photo.jpg',
        height=_HEIGHT,
        width=_WIDTH,
        segmentation=str(path),
    )
    return Target(
        path,
        [lambda: draw.transform(dict(item))],
        _seeds('PNG'),
        mutate_image,
        (path.name,),
    )
