"""Whatever a person calls an image becomes the same pixels."""

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
    """(24, 40, 3) uint8, patches of colour."""
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
def test_every_kind_of_file_gives_its_colours(rgb, tmp_path, kind):
    mode, suffix, options = KINDS[kind]
    image = Image.fromarray(rgb).convert(mode)
    path = write(tmp_path, encode(image, suffix, **options))
    assert np.array_equal(read_image(path), rgb[..., ::-1])
    assert np.array_equal(read_image(image), rgb[..., ::-1])


def test_cmyk_jpeg_keeps_its_colours(rgb, tmp_path):
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


def test_grey_becomes_three_equal_channels(rgb, tmp_path):
    grey = rgb[..., 0]
    image = Image.fromarray(grey)
    tensor = torch.from_numpy(grey.copy())[None]
    path = write(tmp_path, encode(image, 'PNG'))
    for source in (path, image, grey, grey[..., None], tensor):
        assert np.array_equal(read_image(source), np.stack([grey] * 3, 2))


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
def test_what_cannot_be_pixels_is_refused(source, message):
    with pytest.raises(ValueError, match=f'image 7.*{message}'):
        read_image(source, 'image 7')


def test_something_else_is_refused_by_its_type():
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


def test_a_large_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = write(tmp_path, encode(Image.new('1', (10_000, 10_000)), 'PNG'))
    monkeypatch.setattr(cv2, 'imdecode', None)
    message = '10000 x 10000 pixels, 100 megapixels; at most 64'
    with pytest.raises(ValueError, match=message):
        read_image(path)
    huge = write(tmp_path, encode(Image.new('1', (20_000, 20_000)), 'PNG'))
    with pytest.raises(ValueError, match='too large'):
        read_image(huge, max_pixels=10**9)


@pytest.mark.parametrize('kind', [np.asarray, lambda image: image])
def test_the_limit_holds_for_pixels_too(rgb, kind):
    with pytest.raises(ValueError, match='max_pixels'):
        read_image(kind(Image.fromarray(rgb)), max_pixels=100)


def test_a_folder_lists_its_images_only(tmp_path):
    for name in ('b.PNG', 'a.jpg', 'c.txt', 'd'):
        (tmp_path / name).touch()
    (tmp_path / 'e.png').mkdir()
    names = [str(tmp_path / name) for name in ('a.jpg', 'b.PNG')]
    assert list_images(tmp_path) == names
    with pytest.raises(FileNotFoundError, match='holds no images'):
        list_images(tmp_path / 'e.png')
