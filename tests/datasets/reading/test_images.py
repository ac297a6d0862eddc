"""Turned photographs, and names that are nearly right."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmdit.datasets.reading.images import near_path
from mmdit.datasets.transforms import LoadReferImage


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)


@pytest.mark.parametrize('number', range(1, 9))
@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_images_are_read_as_stored_or_as_seen(
    tmp_path, pixels, number, suffix
):
    exif = Image.Exif()
    exif[0x0112] = number
    path = tmp_path / f'photo{suffix}'
    Image.fromarray(pixels).save(path, exif=exif)
    stored = LoadReferImage().transform(dict(img_path=str(path)))
    assert stored['ori_shape'] == (30, 50)
    seen = ImageOps.exif_transpose(Image.open(path)).convert('RGB')
    item = dict(img_path=str(path), height=seen.height, width=seen.width)
    turned = LoadReferImage(turn_by_exif=True).transform(item)
    difference = np.asarray(seen)[..., ::-1].astype(int) - turned['img']
    assert np.abs(difference).max() <= (0 if suffix == '.png' else 3)


def test_a_mask_size_as_viewers_see_it_names_the_option(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / 'photo.jpg'
    Image.fromarray(pixels).save(path, exif=exif)
    item = dict(img_path=str(path), height=50, width=30)
    with pytest.raises(ValueError, match='orientation 6.*turn_by_exif=True'):
        LoadReferImage().transform(item)


def test_near_names_are_found(tmp_path):
    (tmp_path / 'Sub').mkdir()
    path = tmp_path / 'Sub' / 'a\u0308.PNG'
    path.touch()
    for near in ('Sub/\xe4.PNG', 'sub/\xe4.png', 'Sub\\a\u0308.PNG'):
        assert near_path(f'{tmp_path}/{near}') == str(path)
    for far in ('Sub/b.PNG', 'Sub', 'none/a.png', 's3://host/a.png'):
        assert near_path(f'{tmp_path}/{far}') == ''
