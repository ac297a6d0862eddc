"""The JSON-lines data set."""

import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from PIL import Image

from mmdit.datasets import ReferJSONLDataset
from mmdit.datasets.checking import check_jsonl, shared_images
from mmdit.datasets.reading.rows import parse_row
from mmdit.datasets.reading.segmentations import draw_mask
from mmdit.datasets.transforms import LoadReferImage, LoadReferMask
from mmdit.evaluation import ReferIoUMetric
from mmdit.registry import DATASETS, TRANSFORMS
from mmdit.shards import read_member

ROOT = Path(__file__).parents[2]
# Pixels of each mask of `tiny_jsonl`.
AREAS = [600, 200, 100, 50, 100, 0]
TRIANGLE = [[2, 2, 12, 2, 12, 12]]


def read(path, **kwargs):
    return ReferJSONLDataset(ann_file=str(path), **kwargs)


def row(**kwargs):
    """Return a good row with changes; None removes a key."""
    good = dict(image='images/a.jpg', expression='box', mask=TRIANGLE)
    merged = {**good, **kwargs}
    return {key: merged[key] for key in merged if merged[key] is not None}


def write(tiny_jsonl, *rows, name='new.jsonl'):
    """Write rows next to the tiny file; text is written as it is."""
    lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    path = tiny_jsonl.with_name(name)
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path


def load(item):
    return LoadReferMask().transform(LoadReferImage().transform(item))


# -- The data set. -----------------------------------------------------------


def test_a_record(tiny_jsonl):
    root = tiny_jsonl.parent
    record = read(tiny_jsonl)[0]
    assert record == dict(
        dataset=root.name,
        split=tiny_jsonl.stem,
        img_path=str(root / 'images/a.jpg'),
        image_id='images/a.jpg',
        ref_id=1,
        ann_id=1,
        sent_id=1,
        expression='the box on the left',
        segmentation=[[2, 3, 22, 3, 22, 33, 2, 33]],
        no_target=False,
        source=f'{tiny_jsonl}, line 1',
        sample_idx=0,
    )


def test_ids_of_the_file_are_kept(tiny_jsonl):
    record = read(tiny_jsonl)[1]
    assert (record['image_id'], record['sent_id']) == (7, 2)
    assert record['ref_id'] == record['ann_id'] == 'pieces-1'


def test_every_kind_of_mask_is_drawn(tiny_jsonl):
    items = [load(item) for item in read(tiny_jsonl)]
    assert [item['gt_seg_map'].sum() for item in items] == AREAS
    # the PNG and the compressed RLE are the same square
    np.testing.assert_array_equal(
        items[2]['gt_seg_map'], items[4]['gt_seg_map']
    )
    assert [item['no_target'] for item in items] == [False] * 5 + [True]


def test_it_is_registered(tiny_jsonl):
    cfg = dict(type='mmdit.ReferJSONLDataset', ann_file=str(tiny_jsonl))
    assert DATASETS.build(cfg).metainfo['classes'] == (
        'background',
        'referent',
    )


@pytest.mark.parametrize(
    'options',
    [dict(indices=2), dict(lazy_init=True), dict(serialize_data=False)],
)
def test_options_of_mmengine_work(tiny_jsonl, options):
    dataset = read(tiny_jsonl, **options)
    assert len(dataset) == options.get('indices', 6)
    assert dataset[1]['source'].endswith('line 2')


def test_the_file_is_joined_to_data_root(tiny_jsonl):
    dataset = read('train.jsonl', data_root=str(tiny_jsonl.parent))
    assert load(dataset[4])['gt_seg_map'].sum() == 100


def test_the_file_may_be_a_path_and_no_list(tiny_jsonl):
    folder, name = tiny_jsonl.parent, Path(tiny_jsonl.name)
    assert len(ReferJSONLDataset(ann_file=name, data_root=str(folder)))
    with pytest.raises(TypeError, match=r"ann_file .* is \[.*'part-\*.jsonl'"):
        ReferJSONLDataset(ann_file=[str(name)], data_root=str(folder))


def test_images_and_masks_in_a_tar_shard_are_the_same(tiny_jsonl):
    root = tiny_jsonl.parent
    (root / 'lists').mkdir()
    with tarfile.open(root / 'lists' / '0.tar', 'w') as tar:
        for name in ('images/a.jpg', 'images/b.png', 'masks/b_1.png'):
            tar.add(root / name, name)
    lines = [json.loads(line) for line in tiny_jsonl.read_text().splitlines()]
    for line in lines:
        for key in ('image', 'mask'):
            if isinstance(line[key], str):
                line[key] = f'0.tar/{line[key]}'
    packed = write(root / 'lists' / 'x', *lines)
    for ours, theirs in zip(read(packed), read(tiny_jsonl), strict=True):
        ours, theirs = load(ours), load(theirs)
        for key in ('img', 'gt_seg_map'):
            np.testing.assert_array_equal(ours[key], theirs[key])
    report, other = check_jsonl(packed), check_jsonl(tiny_jsonl)
    assert (report.status, report.areas) == ('usable', other.areas)
    # As copies of another name.
    assert len(list(shared_images(report, [other]))) == 2
    with pytest.raises(FileNotFoundError, match='c.jpg of .*line 1 does not'):
        load(read(write(root / 'lists' / 'x', row(image='0.tar/c.jpg')))[0])


def test_a_shard_of_webdatasets_own_writer_is_read(tmp_path):
    # By webdataset 1.0.2: sink.write({'__key__': 'sample/0000', 'jpg': ...}).
    name = 'webdataset-1.0.2.tar'
    shutil.copy(Path(__file__).parent / 'reading' / name, tmp_path)
    keys = [f'{name}/sample/{number:04d}' for number in range(2)]
    rows = [row(image=f'{k}.jpg', mask=f'{k}.seg.png') for k in keys]
    dataset = read(write(tmp_path / 'x', *rows))
    for key, item in zip(keys, map(load, dataset), strict=True):
        said = json.loads(read_member(f'{tmp_path}/{key}.json'))
        left, top, right, bottom = said['box']
        expected = np.zeros((6, 8), bool)
        expected[top:bottom, left:right] = True
        np.testing.assert_array_equal(item['gt_seg_map'], expected)
        bright = item['img'].mean(-1)
        assert bright[expected].min() > bright[~expected].max()


def test_data_prefix_moves_images_and_masks(tiny_jsonl):
    root = tiny_jsonl.parent
    (root / 'lists').mkdir()
    moved = shutil.move(tiny_jsonl, root / 'lists')
    assert not Path(read(moved)[4]['img_path']).exists()
    prefix = dict(img_path='.', mask_path=str(root))
    dataset = read(
        'lists/train.jsonl', data_root=str(root), data_prefix=prefix
    )
    assert [load(i)['gt_seg_map'].sum() for i in dataset] == AREAS


def test_an_unknown_prefix_is_rejected(tiny_jsonl):
    with pytest.raises(ValueError, match='no seg_map_path; set img_path or'):
        read(tiny_jsonl, data_prefix=dict(seg_map_path='masks'))


def test_absolute_paths_are_kept(tiny_jsonl):
    root = tiny_jsonl.parent
    changed = row(image=str(root / 'images/b.png'), mask=str(root / 'm.png'))
    record = read(write(tiny_jsonl, changed), data_prefix=dict(img_path='x'))
    assert record[0]['img_path'] == str(root / 'images/b.png')
    assert record[0]['segmentation'] == str(root / 'm.png')


def test_blank_lines_windows_line_ends_and_a_bom_do_not_matter(tiny_jsonl):
    path = tiny_jsonl.with_name('windows.jsonl')
    line = json.dumps(row(expression='Größe')).encode()
    path.write_bytes(b'\xef\xbb\xbf' + line + b'\r\n\r\n' + line)
    dataset = read(path)
    assert [item['sent_id'] for item in dataset] == [1, 3]
    assert dataset[0]['expression'] == 'größe'


def test_no_image_is_opened_when_the_file_is_read(tiny_jsonl):
    path = write(tiny_jsonl, row(image='not_there.jpg', mask='nor_this.png'))
    assert len(read(path)) == 1


BROKEN = [
    ('{"image": "a.jpg"', r'not JSON .*at character 18.*one whole object'),
    ('[' * 100_000, 'nested too deeply'),
    ('{"image": NaN}', 'NaN is not JSON'),
    ('["a.jpg", "box"]', r'is not an object; expected \{"image"'),
    (row(image=None), 'no .image.; .* got "expression", "mask"'),
    (row(expression=None), "no 'expression'"),
    (row(image=3), "'image' is 3, expected some text"),
    (row(expression=' \t '), "'expression' is .*expected some text"),
    (row(expression=['box']), r"'expression' is \[.box.\]"),
    (row(id=1.5), "'id' is 1.5, expected a whole number or text"),
    (row(image_id=True), "'image_id' is true, expected a whole number"),
    (row(mask=None), '\'mask\' is missing.*"no_target": true'),
    (row(mask=[]), r"'mask' is \[\].*\"no_target\": true"),
    (row(mask=''), '\'mask\' is "".*the path of a PNG'),
    (row(mask=5), "'mask' is 5, expected polygons"),
    (row(no_target=1), "'no_target' is 1, expected true or false"),
    (row(no_target=True), "'no_target' is true, yet 'mask' is .*remove one"),
    (row(mask=[2, 2, 12, 2, 12, 12]), 'holds 2, expected a list of polygons'),
    (row(mask=[[[2, 2], [12, 2]]]), r'holds \[\[2, 2\], .*flat list'),
    (row(mask=[[2, 2, 12, 2]]), 'has 4 numbers, expected x and y of three'),
    (row(image='https://host/a.jpg'), "'image' is .*which is a URL; downlo"),
    (row(image='images'), '\'image\' is "images", which is not a file'),
    (row(mask='images/'), '\'mask\' is "images/", which is not a file'),
    (row(image='x' * 9000), "'image' is .*, which is not a file"),
    (row(image='a\0.jpg'), "'image' is .*, which holds a NUL"),
    (row(expression='the \ud800'), 'half a surrogate pair at character 5'),
    (row(expression='x' * 10**6), 'has 1,000,000 characters .*at most 10,000'),
    ('{"id": ' + '9' * 5000 + '}', 'a number has over 4300 digits'),
    (row(id=2**64), "'id' is 18446744073709551616, expected a whole number"),
    (row(mask=[[2, 2, 12, 2, 12, True]]), 'true.*, expected a list of poly'),
    (row(mask=[[0.1, 0.1, 0.9, 0.1, 0.9, 1]]), 'not shares of the image'),
    (row(mask=[[2, 2, 12, 2, 12, 1e9]]), 'reaches beyond 100000 pixels'),
    (
        json.dumps(row(mask=[[2, 2, 12, 2, 12, 7]])).replace('7]', '1e999]'),
        'reaches beyond',
    ),
    (row(mask=dict(counts='abc')), "'size' null, expected .height, width"),
    (row(mask=dict(size=[40], counts='abc')), r"'size' \[40\]"),
    (row(mask=dict(size=[40, 60])), "'counts' null, expected COCO's text"),
    (row(mask=dict(size=[40, 60], counts=[-1, 2401])), 'whole numbers, 0 or'),
]


@pytest.mark.parametrize(('line', 'message'), BROKEN)
def test_a_broken_line_is_named(tiny_jsonl, line, message):
    path = write(tiny_jsonl, row(), '', line)
    where = re.escape(f'{path}, line 3: ')
    with pytest.raises(ValueError, match=f'(?s){where}.*{message}'):
        read(path)


def test_text_that_is_not_utf_8_is_named(tiny_jsonl):
    path = tiny_jsonl.with_name('latin.jsonl')
    path.write_bytes(json.dumps(row()).encode() + b'\n{"image": "\xe9"}\n')
    with pytest.raises(ValueError, match='line 2: not UTF-8 text; save'):
        read(path)


def test_a_missing_and_an_empty_file_are_named(tiny_jsonl):
    with pytest.raises(FileNotFoundError, match='none.jsonl does not exist'):
        read('none.jsonl')
    with pytest.raises(ValueError, match='new.jsonl has no rows'):
        read(write(tiny_jsonl, ''))


def save_masks(root):
    """Write files that are no masks of a.jpg, which is 40 x 60."""
    Image.new('L', (30, 50), 255).save(root / 'small.png')
    Image.new('RGB', (60, 40), 'red').save(root / 'rgb.png')
    Image.new('L', (60, 40), 255).save(root / 'photo.jpg')
    Image.new('L', (60, 40)).save(root / 'black.png')
    content = (root / 'black.png').read_bytes()
    (root / 'cut.png').write_bytes(content[:-30])
    (root / 'page.png').write_text('<html>')


SIZED = dict(size=[60, 40], counts=[0, 2400])
# Mask, kind of finding, message of the transform.
BAD_MASKS = [
    ('small.png', 'undrawable masks', 'is 50x30 .*its image 40x60 as stored'),
    ('rgb.png', 'undrawable masks', r'has 3 channels; .*convert\(.L.\)'),
    ('photo.jpg', 'undrawable masks', 'is a JPEG file; save it as PNG'),
    ('cut.png', 'undrawable masks', 'is not a complete PNG'),
    ('page.png', 'undrawable masks', 'is not a complete PNG'),
    ('none.png', 'missing masks', 'none.png of .* does not exist; .*prefix'),
    ('black.png', 'empty masks', 'has no pixels'),
    (SIZED, 'undrawable masks', r'RLE of size \[60, 40\] .*expected what'),
    (
        dict(SIZED, size=[40, 60], counts='c2'),
        'undrawable masks',
        'RLE counts',
    ),
    ([[90, 90, 99, 90, 99, 99]], 'empty masks', 'has no pixels'),
]


@pytest.mark.parametrize(('mask', 'kind', 'message'), BAD_MASKS)
def test_a_bad_mask_is_named_by_file_and_line(tiny_jsonl, mask, kind, message):
    save_masks(tiny_jsonl.parent)
    path = write(tiny_jsonl, row(), row(expression='other', mask=mask))
    item = read(path)[1]
    with pytest.raises((ValueError, FileNotFoundError), match=message) as got:
        load(item)
    assert f'{path}, line 2' in str(got.value)
    [case] = check_jsonl(path).problems[kind]
    assert case.startswith('line 2: ')


def test_a_palette_png_and_a_bilevel_png_are_masks(tiny_jsonl):
    root = tiny_jsonl.parent
    labels = np.zeros((40, 60), np.uint8)
    labels[:10, :10] = 1
    image = Image.fromarray(labels)
    # label 1 is shown as black, which is still not label 0
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(root / 'palette.png')
    Image.fromarray(labels > 0).save(root / 'bits.png')
    path = write(tiny_jsonl, row(mask='palette.png'), row(mask='bits.png'))
    assert [load(i)['gt_seg_map'].sum() for i in read(path)] == [100, 100]


def test_a_missing_image_is_named_by_file_and_line(tiny_jsonl):
    path = write(tiny_jsonl, row(image='none.jpg'))
    message = re.escape(f'none.jpg of {path}, line 1 does not exist; set data')
    with pytest.raises(FileNotFoundError, match=message):
        load(read(path)[0])


# -- In a run. ---------------------------------------------------------------


def pipeline_of(cfg, loader):
    return [TRANSFORMS.build(t) for t in cfg[loader].dataset.pipeline]


@pytest.fixture
def cfg():
    name = 'configs/dit/ldit_sam-vit-b_4xb16-40e_jsonl-512x512.py'
    return Config.fromfile(ROOT / name)


def test_the_config_reads_the_files_of_its_splits(cfg, tiny_jsonl):
    shutil.copy(tiny_jsonl, tiny_jsonl.with_name('val.jsonl'))
    for name, mode in (('train', False), ('val', True), ('test', True)):
        dataset_cfg = cfg[f'{name}_dataloader'].dataset
        dataset_cfg.update(data_root=str(tiny_jsonl.parent), pipeline=[])
        dataset_cfg.type = f'mmdit.{dataset_cfg.type}'
        dataset = DATASETS.build(dataset_cfg)
        assert (len(dataset), dataset.test_mode) == (6, mode)


def test_training_items_come_with_masks_of_their_images_size(cfg, tiny_jsonl):
    pipeline = pipeline_of(cfg, 'train_dataloader')
    for item in read(tiny_jsonl, pipeline=pipeline):
        sample = item['data_samples']
        assert sample.gt_sem_seg.shape == item['inputs'].shape[1:]
        assert sample.gt_sem_seg.data.any() != sample.no_target


def test_the_truth_scores_100(cfg, tiny_jsonl):
    pipeline = pipeline_of(cfg, 'test_dataloader')
    dataset = read(tiny_jsonl, test_mode=True, pipeline=pipeline)
    metric = ReferIoUMetric()
    batch = pseudo_collate(list(dataset))
    samples = [sample.to_dict() for sample in batch['data_samples']]
    for sample in samples:
        sample['pred_sem_seg'] = sample['gt_sem_seg']
    metric.process(batch, samples)
    assert metric.evaluate(len(dataset))['oIoU'] == 100


def test_the_lines_of_the_documentation_are_right():
    text = (ROOT / 'docs' / 'own_data.md').read_text(encoding='utf-8')
    blocks = re.findall(r'```json\n(.*?)```', text, re.DOTALL)
    rows = [parse_row(line.encode()) for line in ''.join(blocks).splitlines()]
    assert {type(row.mask) for row in rows} == {str, dict, list}
    assert [row.no_target for row in rows].count(True) == 1
    rles = [row.mask for row in rows if isinstance(row.mask, dict)]
    assert [draw_mask(rle, 50, 30).sum() for rle in rles] == [100, 50]
