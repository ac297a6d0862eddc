import json
import pickle
from collections import Counter

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmdit.datasets import GRefCOCODataset, RefCOCODataset
from mmdit.datasets.reading.segmentations import draw_mask
from mmdit.datasets.transforms import PackReferSegInputs
from mmdit.evaluation import ReferIoUMetric
from mmdit.registry import DATASETS

PIPELINE = (
    dict(type='LoadReferImage'),
    dict(type='LoadReferMask'),
    dict(type='PackReferSegInputs'),
)


def read(root, **kwargs):
    return GRefCOCODataset(data_root=str(root), **kwargs)


def items(dataset):
    return [dataset[i] for i in range(len(dataset))]


def edit_refs(root, change):
    path = root / 'grefcoco' / 'grefs(unc).json'
    refs = json.loads(path.read_text())
    change(refs)
    path.write_text(json.dumps(refs))


def draw(item):
    return draw_mask(item['segmentation'], item['height'], item['width'])


def test_a_record_of_several_targets(tiny_grefer):
    record = read(tiny_grefer, sample_by='sentence')[1]
    path = tiny_grefer / 'images/train2014/COCO_train2014_000000000001.jpg'
    assert len(record.pop('segmentation')) == 3
    assert record == dict(
        dataset='grefcoco',
        split='train',
        img_path=str(path),
        image_id=1,
        ref_id=20,
        ann_id=[100, 101],
        sent_id=1,
        expression='all  things',
        height=40,
        width=60,
        no_target=False,
        sample_idx=1,
    )


def test_a_record_of_no_target(tiny_grefer):
    record = read(tiny_grefer, sample_by='sentence')[2]
    assert record['expression'] == 'the elephant'
    assert record['no_target'] is True
    assert record['ann_id'] == record['segmentation'] == []
    assert not draw(record).any()


def test_one_target_may_be_a_number_or_a_list(tiny_grefer):
    number = read(tiny_grefer, sample_by='sentence')[3]
    in_list = read(tiny_grefer, split='val', test_mode=True)[3]
    assert (number['ann_id'], in_list['ann_id']) == ([101], [103])
    assert not number['no_target'] and not in_list['no_target']


def test_crowds_are_left_out_unless_asked_for(tiny_grefer):
    kwargs = dict(split='val', test_mode=True)
    item = read(tiny_grefer, **kwargs)[0]
    square = read(tiny_grefer, **kwargs)[3]
    assert item['ann_id'] == [102, 103] and not item['no_target']
    assert (draw(item) == draw(square)).all() and draw(item).any()
    # Of nothing but crowds, nothing is left.
    edit_refs(tiny_grefer, lambda refs: refs[3].update(ann_id=[102]))
    assert read(tiny_grefer, **kwargs)[0]['no_target'] is True
    counted = read(tiny_grefer, count_crowds=True, **kwargs)[0]
    assert not counted['no_target'] and draw(counted).any()


# polygons, and RLEs of both kinds
@pytest.mark.parametrize(
    ('split', 'ann_ids'), [('train', [100, 101]), ('val', [102, 103])]
)
def test_the_mask_is_the_union_of_all(tiny_grefer, split, ann_ids):
    kwargs = dict(sample_by='sentence', count_crowds=True)
    several = read(tiny_grefer, split=split, **kwargs)[0]
    assert several['ann_id'] == ann_ids
    content = json.loads(
        (tiny_grefer / 'grefcoco' / 'instances.json').read_text()
    )
    expected = np.zeros_like(draw(several))
    for annotation in content['annotations']:
        if annotation['id'] in ann_ids:
            single = dict(several, segmentation=annotation['segmentation'])
            expected |= draw(single)
    assert np.array_equal(draw(several), expected)
    assert expected.any()


@pytest.mark.parametrize(
    ('kwargs', 'length'),
    [
        (dict(), 3),
        (dict(sample_by='sentence'), 4),
        (dict(test_mode=True, split='val'), 4),
        (dict(test_mode=True, split='val', skip_sent_ids=[5, 6]), 2),
        (dict(lazy_init=True, serialize_data=False, indices=2), 2),
    ],
)
def test_lengths(tiny_grefer, kwargs, length):
    dataset = read(tiny_grefer, **kwargs)
    assert len(dataset) == length == len(items(dataset))


def test_json_and_pickle_hold_the_same(tiny_grefer):
    from_json = items(read(tiny_grefer, sample_by='sentence'))
    path = tiny_grefer / 'grefcoco' / 'grefs(unc).json'
    refs = json.loads(path.read_text())
    path.unlink()
    path.with_suffix('.p').write_bytes(pickle.dumps(refs, protocol=2))
    assert items(read(tiny_grefer, sample_by='sentence')) == from_json


def test_each_visit_draws_a_sentence(tiny_grefer):
    dataset = read(tiny_grefer)
    drawn = Counter(dataset[0]['sent_id'] for _ in range(40))
    # 40 fair draws of 2: fewer than 8 of one kind has p < 0.0001
    assert set(drawn) == {0, 1} and min(drawn.values()) >= 8
    assert pickle.loads(pickle.dumps(dataset))[0]['sent_id'] in (0, 1)


@pytest.mark.parametrize(
    'wrong',
    [
        dict(ann_id=[-1], no_target=False),
        dict(ann_id=[100], no_target=True),
        dict(ann_id=[100, -1], no_target=False),
    ],
)
def test_contradictions_are_rejected(tiny_grefer, wrong):
    edit_refs(tiny_grefer, lambda refs: refs[0].update(wrong))
    message = r'grefs\(unc\)\.json: ref_id 20 has ann_id .* expected \[-1\]'
    with pytest.raises(ValueError, match=message):
        read(tiny_grefer)


def test_the_flag_may_be_missing(tiny_grefer):
    def forget(refs):
        for ref in refs:
            del ref['no_target']

    expected = items(read(tiny_grefer, sample_by='sentence'))
    edit_refs(tiny_grefer, forget)
    assert items(read(tiny_grefer, sample_by='sentence')) == expected


@pytest.mark.parametrize(
    ('ann_id', 'message'),
    [
        ([100, 999], r'no annotation in .* 1 refs: ref_id 20; ann_id \[100'),
        ([100, 102], 'annotation of another image in .* ref_id 20'),
    ],
)
def test_each_annotation_is_checked(tiny_grefer, ann_id, message):
    edit_refs(tiny_grefer, lambda refs: refs[0].update(ann_id=ann_id))
    with pytest.raises(ValueError, match=message):
        read(tiny_grefer)


@pytest.mark.parametrize(
    ('cls', 'dataset', 'message'),
    [
        (RefCOCODataset, 'grefcoco', "set type='GRefCOCODataset'"),
        (GRefCOCODataset, 'refcoco', 'holds grefcoco'),
    ],
)
def test_the_wrong_class_is_told(tiny_grefer, cls, dataset, message):
    with pytest.raises(FileNotFoundError, match=message):
        cls(data_root=str(tiny_grefer), dataset=dataset)


def test_a_folder_may_have_any_name(tiny_grefer):
    expected = len(read(tiny_grefer))
    (tiny_grefer / 'grefcoco').rename(tiny_grefer / 'parts')
    assert len(read(tiny_grefer, dataset='parts')) == expected


def test_shuffling_is_rejected(tiny_grefer):
    with pytest.raises(ValueError, match='may overlap.*RefCOCODataset'):
        read(tiny_grefer, test_mode=True, shuffle_expressions=True)


def test_it_is_registered(tiny_grefer):
    cfg = dict(type='mmdit.GRefCOCODataset', data_root=str(tiny_grefer))
    assert len(DATASETS.build(cfg)) == 3


def test_metainfo_tells_whether_there_is_a_target(tiny_grefer):
    for item in items(read(tiny_grefer, split='val', test_mode=True)):
        image = np.zeros((item['height'], item['width'], 3), np.uint8)
        shape = image.shape[:2]
        item.update(img=image, img_shape=shape, ori_shape=shape)
        sample = PackReferSegInputs().transform(item)['data_samples']
        assert sample.no_target == item['no_target']
        assert sample.ann_id == item['ann_id']


@pytest.mark.parametrize('suffix', ['json', 'csv'])
def test_from_files_to_scores_and_rows(tiny_grefer, tmp_path, suffix):
    path = tmp_path / f'rows.{suffix}'
    metric = ReferIoUMetric(out_file=path, generalized=True)
    with DefaultScope.overwrite_default_scope('mmdit'):
        dataset = read(
            tiny_grefer, split='val', test_mode=True, pipeline=PIPELINE
        )
    for packed in dataset:
        sample = packed['data_samples']
        # an oracle
        sample.pred_sem_seg = sample.gt_sem_seg
        metric.process(None, [sample.to_dict()])
    assert set(metric.evaluate(len(dataset)).values()) == {100}
    text = path.read_text()
    assert ('[102, 103]' if suffix == 'csv' else '102,') in text
    assert ('True' if suffix == 'csv' else '"no_target": true') in text
