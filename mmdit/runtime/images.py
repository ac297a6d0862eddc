"""From whatever a person calls an image to pixels.

Files are decoded by OpenCV, as in training and testing, so that a model sees
the same pixels; Pillow reads what OpenCV cannot, and the sizes beforehand.
Nothing here needs torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Union
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from PIL import Image, ImageOps

from mmdit.decoding import (
    check_depth,
    decode_upright,
    image_suffixes,
    open_image,
)
from mmdit.downloads import is_url, read_url

from .limits import MAX_PIXELS, max_bytes, read_limited

if TYPE_CHECKING:
    from torch import Tensor

ImageSource = Union[
    str, Path, bytes, IO[bytes], Image.Image, np.ndarray, 'Tensor'
]


def read_image(
    source: ImageSource,
    name: str = 'the image',
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Return the pixels of an image as people see it.

    Rotation by EXIF is carried out, transparency is dropped, gray and CMYK
    become colors, 16 bits become 8 (the upper ones), and of an animation
    only the first frame is read.

    Args:
        source: One of

            - a path, or a URL or whatever else MMEngine's ``fileio`` reads;
            - the bytes of a file, or a file opened in mode 'rb';
            - a ``PIL.Image``;
            - an array as ``cv2.imread`` and ``mmcv.imread`` return it: (H, W),
              (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16;
            - a tensor as torchvision makes it: (3, H, W) RGB or (1, H, W),
              uint8, or floating point from 0 to 1.
        name: What errors call an image that has no path.
        max_pixels: The largest image to read, in pixels.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not an image, is damaged, or is too large.
        TypeError: It is nothing that is listed above.
    """
    if isinstance(source, (str, Path)):
        return _read_encoded(source, str(source), max_pixels)
    if isinstance(source, Image.Image):
        _check_size(name, source.size, max_pixels)
        check_depth(source, name)
        return _from_pil(source, name)
    if isinstance(source, np.ndarray):
        return _from_array(source, name, max_pixels)
    if isinstance(source, (bytes, bytearray, memoryview)) or hasattr(
        source, 'read'
    ):
        return _read_encoded(source, name, max_pixels)
    if not hasattr(source, 'detach'):
        raise TypeError(
            f'{name} is a {type(source).__name__}; expected a path, a URL, '
            'bytes, an open file, a PIL image, an array or a tensor'
        )
    return _from_array(_from_tensor(source, name), name, max_pixels)


def list_images(folder: str | Path) -> list[str]:
    """List the images of a folder by their suffixes, sorted.

    Hidden files are none.
    """
    known = image_suffixes()
    paths = sorted(
        str(path)
        for path in Path(folder).iterdir()
        if path.suffix.lower() in known
        and not path.name.startswith('.')
        # A link that leads nowhere is told, not left out.
        and (path.is_file() or path.is_symlink() and not path.exists())
    )
    if not paths:
        raise FileNotFoundError(
            f'folder {folder} holds no images (.jpg, .png, .webp, ...); those '
            'of folders within it are not looked for'
        )
    return paths


def _read_encoded(source: Any, name: str, max_pixels: int) -> np.ndarray:
    """Read and decode a file, a URL, an open file or bytes."""
    try:
        content = _read_bytes(source, max_bytes(max_pixels))
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{name} does not exist') from error
    # Whatever a server, a disk or a library comes up with.
    except Exception as error:
        reason = str(error) or type(error).__name__
        reason = reason.removeprefix(f'{name} cannot be fetched: ')
        raise ValueError(f'{name} cannot be read: {reason}') from error
    with open_image(content, name) as image:
        _check_size(name, image.size, max_pixels)
        pixels = decode_upright(content, image)
        return _from_pil(image, name) if pixels is None else pixels


def _read_bytes(source: Any, limit: int) -> bytes:
    """Read a file, a URL, or with MMEngine what else it knows."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if hasattr(source, 'read'):
        return read_limited(source, limit)
    path = str(source)
    if is_url(path):
        return read_url(path, limit)
    scheme = path.partition('://')[0].lower() if '://' in path else ''
    if scheme == 'file':
        path = _local_path(path)
    elif scheme:
        from mmengine import fileio

        return fileio.get(path)
    with open(path, 'rb') as file:
        return read_limited(file, limit)


def _local_path(url: str) -> str:
    """Return the path in a file URL of this machine."""
    parts = urlsplit(url)
    if parts.netloc not in ('', 'localhost'):
        raise ValueError(
            f'it names the machine {parts.netloc!r}; a file of this one has '
            'three slashes: file:///folder/image.png'
        )
    return url2pathname(parts.path)


def _check_size(name: str, size: Sequence[int], max_pixels: int) -> None:
    """Reject an image of (width, height) before it fills the memory."""
    width, height = size
    if not width * height:
        raise ValueError(f'{name} has no pixels: {width} x {height}')
    if width * height > max_pixels:
        raise ValueError(
            f'{name} has {width} x {height} pixels, '
            f'{width * height / 1e6:.0f} megapixels; at most '
            f'{max_pixels / 1e6:g} are read: make it smaller, or raise '
            'max_pixels (--max-pixels of mmdit segment)'
        )


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    """Turn a PIL image into BGR pixels."""
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith('I'):
            return _from_wide(np.asarray(image), name)
        if image.mode == 'F':
            raise ValueError('its values are floating point')
        return np.asarray(image.convert('RGB'))[..., ::-1].copy()
    # Pillow decodes only now, and raises all sorts of errors.
    except Exception as error:
        raise ValueError(
            f'{name} is damaged, or of a kind that cannot be read '
            f'({image.mode}): {error}; save it as PNG or JPEG'
        ) from error


def _from_wide(values: np.ndarray, name: str) -> np.ndarray:
    """Turn Pillow's integers beyond 8 bits, (H, W), into BGR pixels."""
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ValueError('its values exceed 16 bits')
    return _from_array(values.astype(np.uint16), name, values.size)


def _from_tensor(tensor: 'Tensor', name: str) -> np.ndarray:
    """Turn a (3, H, W) RGB or (1, H, W) tensor into a BGR or gray array."""
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        raise ValueError(
            f'{name} is a tensor of shape {tuple(tensor.shape)}; expected '
            '(3, H, W) in RGB, or (1, H, W)'
        )
    values = tensor.detach().flip(0).permute(1, 2, 0).cpu()
    if values.is_floating_point() and values.numel():
        low, high = float(values.min()), float(values.max())
        # NaN fails too.
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f'{name} is a tensor with values from {low:g} to {high:g}; '
                'floating point must be within 0 and 1, not normalized'
            )
        values = (values.double() * 255).round().byte()
    return values.numpy()


def _from_array(array: np.ndarray, name: str, max_pixels: int) -> np.ndarray:
    """Turn an array as OpenCV makes it into BGR pixels."""
    shape = array.shape
    if len(shape) not in (2, 3) or (
        len(shape) == 3 and shape[2] not in (1, 3, 4)
    ):
        raise ValueError(
            f'{name} is an array of shape {shape}; expected (H, W), (H, W, 3) '
            'in BGR or (H, W, 4) in BGRA'
        )
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f'{name} is an array of {array.dtype}; expected uint8, from 0 to '
            '255, or uint16'
        )
    _check_size(name, shape[1::-1], max_pixels)
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    array = array.reshape(*shape[:2], -1)[..., :3]
    return np.repeat(array, 3 // array.shape[2], axis=2)
