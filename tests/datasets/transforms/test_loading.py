import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmdit.datasets import RefCOCODataset
from mmdit.datasets.transforms import LoadReferImage, LoadReferMask
from mmdit.registry import TRANSFORMS

IDS = dict(image_id=1, ref_id=2, ann_id=3, sent_id=4)
NAMED = 'image_id 1, ref_id 2, ann_id 3, sent_id 4'


def image_item(path, height, width):
    return dict(IDS, img_path=str(path), height=height, width=width)


def mask_item(segmentation, height=20, width=30):
    return dict(
        IDS,
        img_path='a.jpg',
        height=height,
        width=width,
        segmentation=segmentation,
    )


def load_mask(segmentation, height=20, width=30):
    item = mask_item(segmentation, height, width)
    return LoadReferMask().transform(item)['gt_seg_map']


def rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    path = tmp_path / 'photo.png'
    assert cv2.imwrite(str(path), pixels)
    return path, pixels


@pytest.mark.parametrize('name', ['LoadReferImage', 'LoadReferMask'])
def test_registered(name):
    TRANSFORMS.build(dict(type=f'mmdit.{name}'))


def test_image_is_loaded_as_bgr(photo):
    path, pixels = photo
    results = LoadReferImage().transform(image_item(path, 30, 50))
    np.testing.assert_array_equal(results['img'], pixels)
    assert results['img_shape'] == results['ori_shape'] == (30, 50)


def test_image_without_annotation_is_loaded(photo):
    results = LoadReferImage().transform(dict(img_path=str(photo[0])))
    assert results['ori_shape'] == (30, 50)
    assert (results['height'], results['width']) == (30, 50)


def test_exif_orientation_is_ignored(tmp_path):
    path = tmp_path / 'turned.jpg'
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (50, 30)).save(path, exif=exif)
    assert cv2.imread(str(path)).shape[:2] == (50, 30), 'the trap is set'
    results = LoadReferImage().transform(image_item(path, 30, 50))
    assert results['ori_shape'] == (30, 50)


def test_missing_image_names_item_and_key(tmp_path):
    item = image_item(tmp_path / 'none.jpg', 30, 50)
    message = f'none.jpg of {NAMED} does not exist; set data_prefix'
    with pytest.raises(FileNotFoundError, match=message):
        LoadReferImage().transform(item)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize('share', [0.0, 0.3, 0.95])
def test_a_cut_file_is_rejected(photo, tmp_path, suffix, share):
    path = tmp_path / f'cut{suffix}'
    content = cv2.imencode(suffix, photo[1])[1].tobytes()
    path.write_bytes(content[: int(share * len(content))])
    message = f'cut{suffix} of {NAMED} is not a complete image'
    with pytest.raises(ValueError, match=message):
        LoadReferImage().transform(image_item(path, 30, 50))


def test_another_file_is_rejected(tmp_path):
    path = tmp_path / 'page.jpg'
    path.write_text('<html>not found</html>')
    with pytest.raises(ValueError, match='not a complete image'):
        LoadReferImage().transform(image_item(path, 30, 50))


def test_bytes_after_the_end_of_a_jpeg_do_not_matter(photo, tmp_path):
    path = tmp_path / 'tail.jpg'
    content = cv2.imencode('.jpg', photo[1])[1].tobytes()
    path.write_bytes(content + b'\0' * 100)
    LoadReferImage().transform(image_item(path, 30, 50))


def test_a_resized_image_is_rejected(photo):
    message = f'{NAMED} is 30x50 .* annotation says 60x100; .* data_prefix'
    with pytest.raises(ValueError, match=message):
        LoadReferImage().transform(image_item(photo[0], 60, 100))


def test_polygons_of_an_annotation_are_merged():
    mask = load_mask([rectangle(2, 3, 8, 9), rectangle(5, 5, 20, 15)])
    expected = np.zeros((20, 30), np.uint8)
    expected[3:9, 2:8] = 1
    expected[5:15, 5:20] = 1
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_of_two_corners_is_no_box():
    mask = load_mask([[0, 0, 25, 18], rectangle(2, 3, 8, 9)])
    assert mask.sum() == 36


@pytest.fixture
def blob():
    mask = np.random.default_rng(1).random((20, 30)) > 0.7
    return np.asfortranarray(mask.astype(np.uint8))


@pytest.mark.parametrize('as_text', [True, False])
def test_compressed_rle(blob, as_text):
    rle = coco_mask.encode(blob)
    if as_text:
        rle['counts'] = rle['counts'].decode()
    np.testing.assert_array_equal(load_mask(rle), blob)


def cut(text):
    return text[:-1]


def cut_in_half(text):
    return text[: len(text) // 2]


# pycocotools fills up what is missing with whatever lies in memory.
@pytest.mark.parametrize(
    'damage', [cut, cut_in_half, lambda _: '', lambda text: f'{text}a0']
)
def test_a_damaged_compressed_rle_is_rejected(blob, damage):
    rle = coco_mask.encode(blob)
    rle['counts'] = damage(rle['counts'].decode())
    with pytest.raises(ValueError, match=f'{NAMED}.*RLE counts'):
        load_mask(rle)


@pytest.mark.parametrize('share', [0.001, 0.5, 1.0])
def test_compressed_rles_of_all_densities_pass_the_check(share):
    mask = np.random.default_rng(2).random((300, 200)) < share
    mask = np.asfortranarray(mask.astype(np.uint8))
    loaded = load_mask(coco_mask.encode(mask), 300, 200)
    np.testing.assert_array_equal(loaded, mask)


@pytest.mark.parametrize('value', [0, 1])
def test_uncompressed_rle(blob, value):
    blob[0, 0] = value
    flat = blob.flatten(order='F')
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    if value:
        counts.insert(0, 0)
    rle = dict(counts=counts, size=[20, 30])
    np.testing.assert_array_equal(load_mask(rle), blob)


def test_a_list_of_rles_is_merged(blob):
    parts = [blob.copy(order='F'), blob.copy(order='F')]
    parts[0][:, 15:] = 0
    parts[1][:, :15] = 0
    mask = load_mask([coco_mask.encode(part) for part in parts])
    np.testing.assert_array_equal(mask, blob)


@pytest.mark.parametrize(
    'segmentation',
    [[], [[1, 1, 5, 5]], [[40, 40, 50, 40, 50, 50]], [[5, 5, 5, 5, 5, 5]]],
)
def test_an_empty_mask_names_the_item(segmentation):
    message = rf'{NAMED} \(a.jpg\) has no pixels.*skip_sent_ids'
    with pytest.raises(ValueError, match=message):
        load_mask(segmentation)


def test_an_expression_that_names_nothing_has_an_empty_mask():
    item = dict(mask_item([]), no_target=True)
    mask = LoadReferMask().transform(item)['gt_seg_map']
    assert mask.shape == (20, 30) and mask.dtype == np.uint8
    assert not mask.any()


def test_no_target_must_be_true_to_count():
    with pytest.raises(ValueError, match='has no pixels'):
        LoadReferMask().transform(dict(mask_item([]), no_target=False))


@pytest.mark.parametrize(
    ('segmentation', 'reason'),
    [
        (dict(counts=[10, 5], size=[20, 30]), '15 pixels in an image of 600'),
        (dict(counts=[-5, 605], size=[20, 30]), 'whole numbers, 0 or more'),
        (dict(counts=[450], size=[15, 30]), r'size \[15, 30\] in an image'),
        (dict(counts=[10, 5]), 'size'),
        (None, 'is missing, expected a list of polygons'),
        (
            ['text that is none'],
            'holds "text that is none", expected',
        ),
    ],
)
def test_a_damaged_segmentation_names_the_item(segmentation, reason):
    with pytest.raises(ValueError, match=f'{NAMED}.*{reason}'):
        load_mask(segmentation)


def test_tiny_masks_have_their_areas(tiny_refer):
    dataset = RefCOCODataset(data_root=str(tiny_refer), sample_by='sentence')
    areas = {100: 600, 101: 200, 102: 15 * 6 + 15 * 18, 103: 100}
    for item in dataset:
        mask = LoadReferMask().transform(item)['gt_seg_map']
        assert mask.sum() == areas[item['ann_id']]
        assert item['seg_fields'] == ['gt_seg_map']


def test_a_png_is_a_mask(tmp_path, blob):
    path = tmp_path / 'mask.png'
    Image.fromarray(200 * blob).save(path)
    np.testing.assert_array_equal(load_mask(str(path)), blob)


def test_a_png_of_another_size_names_item_and_both_sizes(tmp_path, blob):
    path = tmp_path / 'mask.png'
    Image.fromarray(blob.T).save(path)
    message = rf'{NAMED} .*mask.png is 30x20 .*its image 20x30'
    with pytest.raises(ValueError, match=message):
        load_mask(str(path))


def test_a_missing_png_names_item_and_path():
    message = rf'mask no.png of {NAMED} .* does not exist; .*data_prefix'
    with pytest.raises(FileNotFoundError, match=message):
        load_mask('no.png')


def test_a_source_names_the_item():
    item = dict(mask_item([]), source='own.jsonl, line 3')
    with pytest.raises(ValueError, match='of own.jsonl, line 3 .a.jpg. has'):
        LoadReferMask().transform(item)


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(name=name, split_by=split_by, split=split)
        for name, split_by, split in [
            ('refcoco', 'unc', 'val'),
            ('refcoco', 'unc', 'testA'),
            ('refcoco', 'unc', 'testB'),
            ('refcocog', 'google', 'val'),
        ]
    ],
)
def test_real_items_load(refer_mini, kwargs):
    folder = Path(refer_mini, kwargs['name'])
    content = json.loads((folder / 'instances.json').read_text())
    area = {ann['id']: ann['area'] for ann in content['annotations']}
    for item in RefCOCODataset(data_root=str(refer_mini), **kwargs):
        item = LoadReferMask().transform(LoadReferImage().transform(item))
        mask = item['gt_seg_map']
        assert mask.shape == item['img'].shape[:2]
        # COCO's area is that of the polygon, which cuts through pixels
        assert mask.sum() == pytest.approx(area[item['ann_id']], rel=0.04)


def test_an_image_with_a_long_name_says_whose_it_is():
    item = dict(img_path='字' * 300, source='rows.jsonl, line 7')
    with pytest.raises(ValueError, match=r'rows.jsonl, line 7 cannot be read'):
        LoadReferImage().transform(item)
