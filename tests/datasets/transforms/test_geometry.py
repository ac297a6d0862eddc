import re

import numpy as np
import pytest
from mmcv.transforms import RandomChoiceResize, Resize
from PIL import Image

from mmdit.datasets import RefCOCODataset
from mmdit.datasets.transforms import ReferFlip, ReferResize
from mmdit.datasets.transforms.geometry import swap_sides
from mmdit.registry import TRANSFORMS


def item(height=6, width=8):
    pixels = np.arange(height * width * 3, dtype=np.uint8)
    return dict(
        img=pixels.reshape(height, width, 3),
        gt_seg_map=(
            pixels[: height * width].reshape(height, width) % 5 > 2
        ).astype(np.uint8),
        expression='left cat',
    )


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        ('left man', 'right man'),
        ('the man on the right', 'the man on the left'),
        ('left of the right one', 'right of the left one'),
        ('leftmost', 'rightmost'),
        ('rightmost bus', 'leftmost bus'),
        ('left-hand side', 'right-hand side'),
        ('lefthand side', 'righthand side'),
        ('righthand, left.', 'lefthand, right.'),
        ('left/right', 'right/left'),
        ("left's", "right's"),
        ('far-right', 'far-left'),
        ('bright leftover upright rights', 'bright leftover upright rights'),
        ('top cat', 'top cat'),
        # Glued and bent, as people type.
        ('rightest', 'leftest'),
        ('leftish', 'rightish'),
        ('farleft', 'farright'),
        ('bottomright', 'bottomleft'),
        ('topleftmost cup', 'toprightmost cup'),
        ('2ndfromleft', '2ndfromright'),
        ('leftside guy', 'rightside guy'),
        ('theright one', 'theleft one'),
        ('lefty', 'righty'),
        ('rightt', 'leftt'),
        ('farleft of the bright one', 'farright of the bright one'),
    ],
)
def test_sides_swap_also_within_words(before, after):
    assert swap_sides(before) == after
    assert swap_sides(after) == before


@pytest.mark.parametrize(
    'word',
    [
        *('bright', 'brighter', 'brightest', 'brightly', 'frightened'),
        *('upright', 'uprights', 'outright', 'forthright', 'aright'),
        *('alright', 'copyright', 'playwright', 'sprightly', 'birthright'),
        *('rightful', 'righteous', 'rightly', 'rights'),
        *('leftover', 'leftovers', 'cleft', 'leftist', 'straight'),
    ],
)
def test_words_that_name_no_side_stay(word):
    text = f'the {word} thing'
    assert swap_sides(text) == text


def test_real_sentences_swap_back_and_as_many_as_name_a_side(refer_mini):
    dataset = RefCOCODataset(
        data_root=str(refer_mini), split='val', sample_by='sentence'
    )
    said = [item['expression'] for item in dataset]
    swapped = list(map(swap_sides, said))
    assert list(map(swap_sides, swapped)) == said
    sided = [text for text in said if re.search('left|right', text)]
    changed = [a for a, b in zip(said, swapped, strict=True) if a != b]
    assert changed == sided and len(sided) > 10


def test_a_flip_mirrors_image_mask_and_words():
    before, results = item(), ReferFlip(prob=1.0).transform(item())
    np.testing.assert_array_equal(results['img'], before['img'][:, ::-1])
    np.testing.assert_array_equal(
        results['gt_seg_map'], before['gt_seg_map'][:, ::-1]
    )
    assert results['expression'] == 'right cat'


def test_without_a_flip_nothing_changes():
    before, results = item(), ReferFlip(prob=0).transform(item())
    np.testing.assert_array_equal(results['img'], before['img'])
    np.testing.assert_array_equal(results['gt_seg_map'], before['gt_seg_map'])
    assert results['expression'] == 'left cat'


def test_an_item_without_mask_is_flipped():
    results = item()
    del results['gt_seg_map']
    assert ReferFlip(prob=1).transform(results)['expression'] == 'right cat'


def test_half_of_the_items_flip():
    np.random.seed(0)
    flip = TRANSFORMS.build(dict(type='mmdit.ReferFlip'))
    flips = [flip.transform(item())['flip'] for _ in range(400)]
    assert 160 < sum(flips) < 240


@pytest.mark.parametrize('direction', ['vertical', 'diagonal', ['horizontal']])
def test_other_directions_are_rejected(direction):
    with pytest.raises(ValueError, match="set direction='horizontal'"):
        ReferFlip(direction=direction)


@pytest.mark.parametrize('prob', [-0.1, 1.1])
def test_a_wrong_probability_is_rejected(prob):
    with pytest.raises(ValueError, match=r'prob of ReferFlip .*\[0, 1\]'):
        ReferFlip(prob=prob)


@pytest.mark.parametrize(
    'resize',
    [
        Resize(scale=(32, 32), keep_ratio=True),
        RandomChoiceResize(scales=[(32, 32)], keep_ratio=True),
    ],
)
def test_mmcv_resizes_image_and_mask_alike(resize):
    results = resize.transform(item(height=48, width=64))
    assert results['img'].shape == (24, 32, 3)
    assert results['img_shape'] == results['gt_seg_map'].shape == (24, 32)
    assert set(np.unique(results['gt_seg_map'])) == {0, 1}


def test_the_release_resizes_masks_with_the_filter_of_images():
    rng = np.random.default_rng(0)
    mask = (rng.random((60, 80)) < 0.5).astype(np.uint8)
    resize = ReferResize(scale=(32, 32), keep_ratio=True, backend='pillow')
    before = dict(img=np.zeros((60, 80, 3), np.uint8), gt_seg_map=mask)
    got = resize.transform(dict(before))['gt_seg_map']
    # Pillow's own, in floats.
    image = Image.fromarray(mask.astype(np.float32), mode='F')
    shares = np.asarray(image.resize((32, 24), Image.Resampling.BILINEAR))
    sure = abs(shares - 0.5) > 0.01
    np.testing.assert_array_equal(got[sure], shares[sure] > 0.5)
    assert sure.mean() > 0.9 and got.dtype == np.uint8
    nearest = Resize(scale=(32, 32), keep_ratio=True, backend='pillow')
    other = nearest.transform(dict(before))['gt_seg_map']
    assert (got != other).mean() > 0.2


def test_a_resize_of_release_serves_items_without_mask():
    resize = ReferResize(scale=(8, 8), keep_ratio=True)
    results = item()
    del results['gt_seg_map']
    assert 'gt_seg_map' not in resize.transform(results)
