"""Whatever a person calls an image becomes the same pixels."""

import struct
import subprocess
import sys
from io import BytesIO

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmdit.apis import list_images, read_image
from mmdit.datasets.transforms import LoadReferImage

ROTATED = 6  # EXIF: turn by 90 degrees clockwise to see it upright


@pytest.fixture(scope='module')
def rgb():
    """(24, 40, 3) uint8, patches of color."""
    patches = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    return patches.repeat(8, 0).repeat(8, 1)


def encode(image, kind, **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(folder, content, name='image'):
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_file_is_read_as_the_data_sets_read_it(rgb, tmp_path):
    path = tmp_path / 'image.jpg'
    path.write_bytes(encode(Image.fromarray(rgb), 'JPEG', quality=60))
    expected = LoadReferImage().transform(dict(img_path=str(path)))['img']
    for source in (path, str(path)):
        assert np.array_equal(read_image(source), expected)


KINDS = {
    'png': ('RGB', 'PNG', {}),
    'transparent': ('RGBA', 'PNG', {}),
    'webp': ('RGB', 'WEBP', dict(lossless=True)),
    'cmyk tiff': ('CMYK', 'TIFF', {}),
    'bmp': ('RGB', 'BMP', {}),
    'icon': ('RGB', 'ICO', dict(sizes=[(40, 24)])),
}


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_file_gives_its_colors(rgb, tmp_path, kind):
    mode, suffix, options = KINDS[kind]
    image = Image.fromarray(rgb).convert(mode)
    path = write(tmp_path, encode(image, suffix, **options))
    assert np.array_equal(read_image(path), rgb[..., ::-1])
    assert np.array_equal(read_image(image), rgb[..., ::-1])


def test_cmyk_jpeg_keeps_its_colors(rgb, tmp_path):
    content = encode(Image.fromarray(rgb).convert('CMYK'), 'JPEG', quality=100)
    got = read_image(write(tmp_path, content)).astype(int)
    assert abs(got - rgb[..., ::-1]).mean() < 3


def test_transparency_is_dropped(rgb, tmp_path):
    alpha = np.zeros_like(rgb[..., :1])
    image = Image.fromarray(np.concatenate([rgb, alpha], 2))
    path = write(tmp_path, encode(image, 'PNG'))
    for source in (image, path, np.asarray(image)[..., [2, 1, 0, 3]]):
        assert np.array_equal(read_image(source), rgb[..., ::-1])


@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'WEBP'])
def test_an_animation_is_its_first_frame(tmp_path, kind):
    frames = [Image.new('RGB', (8, 6), c) for c in ('red', 'lime', 'blue')]
    options = dict(save_all=True, append_images=frames[1:])
    if kind == 'WEBP':
        options['lossless'] = True
    path = write(tmp_path, encode(frames[0], kind, **options))
    assert np.array_equal(read_image(path), np.full((6, 8, 3), [0, 0, 255]))


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_of_16_bits_the_upper_8_are_kept(tmp_path, kind):
    values = np.arange(0, 65536, 97, np.uint16)[:660].reshape(22, 30)
    image = Image.fromarray(values)
    path = write(tmp_path, encode(image, kind))
    expected = np.repeat((values >> 8)[..., None], 3, 2)
    for source in (path, image, values, values[..., None]):
        assert np.array_equal(read_image(source), expected)


def test_gray_becomes_three_equal_channels(rgb, tmp_path):
    gray = rgb[..., 0]
    image = Image.fromarray(gray)
    tensor = torch.from_numpy(gray.copy())[None]
    path = write(tmp_path, encode(image, 'PNG'))
    for source in (path, image, gray, gray[..., None], tensor):
        assert np.array_equal(read_image(source), np.stack([gray] * 3, 2))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP'])
def test_exif_rotation_is_carried_out(rgb, tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    path = write(tmp_path, encode(Image.fromarray(rgb), kind, exif=exif))
    plain = write(tmp_path, encode(Image.fromarray(rgb), kind), 'plain')
    expected = np.rot90(read_image(plain), -1)
    assert np.array_equal(read_image(path), expected)
    with Image.open(path) as image:
        assert np.array_equal(read_image(image), expected)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_an_avif_is_turned_as_a_png_is(rgb, tmp_path, orientation):
    paths = []
    for kind, options in (
        ('PNG', {}),
        ('AVIF', dict(quality=100, subsampling='4:4:4')),
    ):
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encode(Image.fromarray(rgb), kind, exif=exif, **options)
        paths.append(write(tmp_path, content, kind))
    expected, got = (read_image(path).astype(int) for path in paths)
    assert got.shape == expected.shape and abs(got - expected).mean() < 2


def test_heic_is_read_or_named(rgb, tmp_path, monkeypatch):
    pillow_heif = pytest.importorskip('pillow_heif')
    file = BytesIO()
    pillow_heif.from_pillow(Image.fromarray(rgb)).save(file, quality=100)
    path = write(tmp_path, file.getvalue(), 'photo.HEIC')
    assert list_images(tmp_path) == [str(path)]
    difference = read_image(path).astype(int) - rgb[..., ::-1]
    assert abs(difference).mean() < 12
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    with pytest.raises(ImportError, match=r'HEIC.*install mmdit-seg\[heif\]'):
        read_image(path)


def tiff(values, bits, kind):
    """Write a gray TIFF of any depth, as cameras and microscopes do."""
    height, width = values.shape
    if bits == 12:
        rows = ''.join(f'{value:012b}' for value in values.flatten())
        content = int(rows, 2).to_bytes(len(rows) // 8, 'big')
    else:
        content = values.tobytes()
    tags = [
        *((256, width), (257, height), (258, bits), (259, 1), (262, 1)),
        *((273, 8), (277, 1), (278, height), (279, len(content)), (339, kind)),
    ]
    entries = b''.join(struct.pack('<HHII', t, 4, 1, v) for t, v in tags)
    start = struct.pack('<2sHI', b'II', 42, 8 + len(content))
    return start + content + struct.pack('<H', len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    ('dtype', 'bits', 'kind', 'message'),
    [
        (np.uint16, 12, 1, 'values of 12 bits'),
        (np.int32, 32, 2, 'signed values of 32 bits'),
        (np.uint32, 32, 1, 'values of 32 bits'),
        (np.int16, 16, 2, 'signed values of 16 bits'),
        (np.int8, 8, 2, 'signed values of 8 bits'),
        (np.float32, 32, 3, 'floating point values of 32 bits'),
    ],
)
def test_an_odd_depth_is_said_and_not_shown_black(
    tmp_path, dtype, bits, kind, message
):
    values = np.arange(96).reshape(8, 12).astype(dtype)
    path = write(tmp_path, tiff(values, bits, kind))
    with Image.open(path) as image:
        for source in (path, image):
            with pytest.raises(ValueError, match=f'{message}; save it'):
                read_image(source)


def test_a_plain_depth_is_read(tmp_path):
    values = np.arange(96).reshape(8, 12).astype(np.uint8)
    got = read_image(write(tmp_path, tiff(values, 8, 1)))
    assert np.array_equal(got, np.stack([values] * 3, 2))


@pytest.mark.parametrize('kind', ['PNG', 'GIF'])
def test_a_palette_loses_its_transparency_only(rgb, tmp_path, kind):
    image = Image.fromarray(rgb).quantize(16)
    path = write(tmp_path, encode(image, kind, transparency=3))
    expected = np.asarray(image.convert('RGB'))[..., ::-1]
    assert np.array_equal(read_image(path), expected)


@pytest.mark.parametrize('size', [(1, 5000), (5000, 1), (3, 1000)])
def test_thin_images_are_read(tmp_path, size):
    path = write(tmp_path, encode(Image.new('RGB', size, 'red'), 'PNG'))
    assert read_image(path).shape == (*size[::-1], 3)


def test_bytes_and_open_files_are_images(rgb, tmp_path):
    content = encode(Image.fromarray(rgb), 'PNG')
    path = write(tmp_path, content)
    with path.open('rb') as file:
        sources = [content, bytearray(content), BytesIO(content), file]
        for source in sources:
            assert np.array_equal(read_image(source), rgb[..., ::-1])
    with (
        path.open(encoding='latin1') as file,
        pytest.raises(ValueError, match="image 7.*mode 'rb'"),
    ):
        read_image(file, 'image 7')
    with pytest.raises(ValueError, match='image 7 is not an image'):
        read_image(b'', 'image 7')


def test_no_program_is_started_for_a_postscript_file(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, 'Popen', None)
    path = write(tmp_path, encode(Image.new('RGB', (4, 4)), 'EPS'))
    with pytest.raises(ValueError, match='is not an image'):
        read_image(path)


def test_arrays_are_bgr_and_tensors_rgb(rgb):
    tensor = torch.from_numpy(rgb.copy()).permute(2, 0, 1)
    for source in (rgb[..., ::-1], tensor, tensor / 255, tensor.half() / 255):
        assert np.array_equal(read_image(source), rgb[..., ::-1])


def test_what_is_read_is_no_view_of_what_was_given(rgb):
    given = rgb.copy()
    read_image(given)[:] = 0
    assert np.array_equal(given, rgb)


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        (np.zeros((4, 4, 3), np.float32), 'array of float32'),
        (np.zeros((4, 4, 2), np.uint8), r'shape \(4, 4, 2\)'),
        (np.zeros((2, 4, 4, 3), np.uint8), r'shape \(2, 4, 4, 3\)'),
        (np.zeros((0, 4, 3), np.uint8), 'no pixels'),
        (torch.zeros(4, 4, 3), r'shape \(4, 4, 3\)'),
        (torch.full((3, 4, 4), -1.8), 'from -1.8 to -1.8'),
        (torch.full((3, 4, 4), float('nan')), 'nan'),
        (Image.new('F', (4, 4)), 'floating point'),
    ],
)
def test_what_cannot_be_pixels_is_rejected(source, message):
    with pytest.raises(ValueError, match=f'image 7.*{message}'):
        read_image(source, 'image 7')


def test_something_else_is_rejected_by_its_type():
    with pytest.raises(TypeError, match='is a dict; expected a path'):
        read_image({})


def test_damaged_files_are_named(rgb, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    for kind in ('PNG', 'JPEG', 'WEBP'):
        content = encode(Image.fromarray(noise), kind)
        path = write(tmp_path, content[: len(content) // 2], f'cut.{kind}')
        with pytest.raises(ValueError, match=f'cut.{kind} is'):
            read_image(path)
    for content in (b'', b'hello'):
        with pytest.raises(ValueError, match='is not an image'):
            read_image(write(tmp_path, content))
    with pytest.raises(FileNotFoundError, match='nowhere.png does not exist'):
        read_image(tmp_path / 'nowhere.png')
    with pytest.raises(ValueError, match='cannot be read'):
        read_image(tmp_path)


def test_a_large_image_is_rejected_before_it_is_decoded(tmp_path, monkeypatch):
    path = write(tmp_path, encode(Image.new('1', (10_000, 10_000)), 'PNG'))
    monkeypatch.setattr(cv2, 'imdecode', None)
    message = '10000 x 10000 pixels, 100 megapixels; at most 64'
    with pytest.raises(ValueError, match=message):
        read_image(path)


def test_a_larger_limit_holds_against_that_of_pillow(
    rgb, tmp_path, monkeypatch
):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    for kind in ('PNG', 'GIF'):
        path = write(tmp_path, encode(Image.fromarray(rgb), kind))
        assert read_image(path, max_pixels=1000).shape == rgb.shape
        with pytest.raises(ValueError, match='max_pixels'):
            read_image(path, max_pixels=900)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize('kind', [np.asarray, lambda image: image])
def test_the_limit_holds_for_pixels_too(rgb, kind):
    with pytest.raises(ValueError, match='max_pixels'):
        read_image(kind(Image.fromarray(rgb)), max_pixels=100)


def test_a_folder_lists_its_images_only(tmp_path):
    for name in ('b.PNG', 'a.jpg', 'c.txt', 'd'):
        (tmp_path / name).touch()
    for name in ('.hidden.png', '._a.jpg', 'f.pdf', 'g.h5', 'h.mpg', 'i.eps'):
        (tmp_path / name).touch()
    (tmp_path / 'e.png').mkdir()
    (tmp_path / 'gone.png').symlink_to('nowhere.png')
    names = [str(tmp_path / name) for name in ('a.jpg', 'b.PNG', 'gone.png')]
    assert list_images(tmp_path) == names
    with pytest.raises(FileNotFoundError, match='holds no images'):
        list_images(tmp_path / 'e.png')
