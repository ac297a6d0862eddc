import pickle
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdit.datasets import JointRefCOCODataset, RefCOCODataset
from mmdit.registry import DATASETS

CONFIG = 'configs/_base_/datasets/refcoco-joint_512x512.py'
ALL = dict(sample_by='sentence', remove_leaks=False)


def read(root, **kwargs):
    return JointRefCOCODataset(data_root=str(root), **kwargs)


def items(dataset):
    return [dataset[i] for i in range(len(dataset))]


def source(item):
    return item['dataset'], item['ref_id']


@pytest.fixture
def logged(monkeypatch):
    messages = []
    monkeypatch.setattr(
        'mmdit.datasets.joint.print_log',
        lambda message, **kwargs: messages.append((message, kwargs)),
    )
    return messages


def test_items_are_those_of_the_members(tiny_joint):
    expected = []
    for dataset, split_by in (
        ('refcoco', 'unc'),
        ('refcoco+', 'unc'),
        ('refcocog', 'umd'),
    ):
        member = RefCOCODataset(
            data_root=str(tiny_joint),
            dataset=dataset,
            split_by=split_by,
            sample_by='sentence',
        )
        expected += [
            dict(item, dataset=dataset, split_by=split_by)
            for item in items(member)
        ]
    for idx, item in enumerate(expected):
        item['sample_idx'] = idx
    assert len(expected) == 8
    assert items(read(tiny_joint, **ALL)) == expected


def test_held_out_images_of_any_member_are_removed(tiny_joint):
    # RefCOCOg tests on image 1
    assert [source(item) for item in items(read(tiny_joint))] == [
        ('refcoco', 12),
        ('refcoco+', 10),
        ('refcocog', 10),
    ]


def test_what_members_do_not_hold_out_stays(tiny_joint):
    members = [dict(name='refcoco'), dict(name='refcoco+')]
    assert len(read(tiny_joint, members=members)) == 4


def test_removals_are_counted(tiny_joint, logged):
    read(tiny_joint)
    counts = [
        'refcoco (unc) loses 2 refs of 1 images that are held out, and keeps '
        '1 refs of 1 images',
        'refcoco+ (unc) loses 0 refs of 0 images that are held out, and keeps '
        '1 refs of 1 images',
        'refcocog (umd) loses 1 refs of 1 images that are held out, and keeps '
        '1 refs of 1 images',
    ]
    assert logged == [
        (f'JointRefCOCODataset: {text}', dict(logger='current'))
        for text in counts
    ]


def test_nothing_is_counted_where_nothing_is_removed(tiny_joint, logged):
    read(tiny_joint, **ALL)
    assert not logged


@pytest.mark.parametrize(
    ('kwargs', 'length'),
    [
        (dict(), 3),
        (dict(sample_by='sentence'), 4),
        (dict(remove_leaks=False), 6),
        (dict(**ALL), 8),
        (dict(**ALL, indices=3), 3),
        (dict(**ALL, serialize_data=False), 8),
        (dict(**ALL, lazy_init=True), 8),
    ],
)
def test_lengths_and_numbers(tiny_joint, kwargs, length):
    dataset = read(tiny_joint, **kwargs)
    found = items(dataset)
    assert len(dataset) == length
    assert [item['sample_idx'] for item in found] == list(range(length))


def test_held_out_splits_can_be_joined_too(tiny_joint):
    members = [dict(name='refcocog', split_by='umd')]
    (item,) = read(
        tiny_joint,
        members=members,
        split='test',
        remove_leaks=False,
        test_mode=True,
    )
    assert item['expression'] == 'two pieces'


def test_sentences_are_skipped_within_a_member(tiny_joint):
    members = [
        dict(name='refcoco', split_by='unc', skip_sent_ids=[0]),
        dict(name='refcoco+', split_by='unc'),
    ]
    found = items(read(tiny_joint, members=members, sample_by='sentence'))
    kept = Counter(item['dataset'] for item in found)
    assert kept == {'refcoco': 4, 'refcoco+': 1}


def test_paths_below_a_relative_root(tiny_joint, monkeypatch):
    monkeypatch.chdir(tiny_joint.parent)
    item = read('tiny')[0]
    assert item['img_path'] == (
        'tiny/images/train2014/COCO_train2014_000000000002.jpg'
    )


def test_the_image_folder_can_be_chosen(tiny_joint):
    item = read(tiny_joint, data_prefix=dict(img_path='/coco'))[0]
    assert item['img_path'].startswith('/coco/COCO_train2014_')


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(split='val'), "split is 'val'; set remove_leaks=False"),
        (dict(members=[dict(name='refclef')]), 'member .refclef.*of COCO'),
        (dict(members=[dict(name='grefcoco')]), 'refcoco, refcoco\\+, re'),
        (dict(members=[]), 'members is empty'),
        (dict(members=[dict(split_by='unc')]), 'expected name'),
        (
            dict(members=[dict(name='refcoco', split='val')]),
            'expected name and perhaps split_by, skip_sent_ids',
        ),
        (dict(sample_by='ref', test_mode=True), "set sample_by='sentence'"),
    ],
)
def test_wrong_arguments_say_what_is_right(tiny_joint, kwargs, message):
    with pytest.raises(ValueError, match=message):
        read(tiny_joint, **kwargs)


def test_arguments_of_a_single_data_set_are_rejected(tiny_joint):
    with pytest.raises(TypeError, match='skip_sent_ids'):
        read(tiny_joint, skip_sent_ids=[1])


def test_nothing_left_is_an_error(tiny_joint):
    (tiny_joint / 'refcoco' / 'refs(unc).p').write_bytes(
        pickle.dumps(
            [
                dict(ref, split=split)
                for split in ('train', 'val')
                for ref in read_refs(tiny_joint)
            ]
        )
    )
    with pytest.raises(ValueError, match='no items are left'):
        read(tiny_joint, members=[dict(name='refcoco')])


def read_refs(root):
    return pickle.loads((root / 'refcoco' / 'refs(unc).p').read_bytes())


def test_each_visit_draws_a_sentence_also_in_workers(tiny_joint):
    cfg = dict(type='mmdit.JointRefCOCODataset', data_root=str(tiny_joint))
    loader = Runner.build_dataloader(
        dict(
            dataset=cfg,
            batch_size=1,
            num_workers=1,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
            worker_init_fn=dict(type='mmdit.seed_worker'),
        ),
        seed=0,
    )
    drawn = set()
    torch.manual_seed(0)
    for _ in range(8):
        epoch = [(b['dataset'][0], b['sent_id'][0]) for b in loader]
        assert len(epoch) == 3
        drawn.update(epoch)
    assert {s for name, s in drawn if name == 'refcoco'} == {3, 4}


def test_it_is_registered_and_pickles(tiny_joint):
    cfg = dict(type='mmdit.JointRefCOCODataset', data_root=str(tiny_joint))
    dataset = DATASETS.build(cfg)
    assert dataset.metainfo['classes'] == ('background', 'referent')
    again = pickle.loads(pickle.dumps(dataset))
    assert source(again[2]) == source(dataset[2])


def test_the_config_trains_on_all_and_validates_on_refcoco(tiny_joint):
    cfg = Config.fromfile(Path(__file__).parents[2] / CONFIG)
    train = dict(cfg.train_dataloader.dataset)
    assert [t['type'] for t in train.pop('pipeline')] == [
        t['type'] for t in cfg.train_pipeline
    ]
    train.update(type='mmdit.JointRefCOCODataset', data_root=str(tiny_joint))
    found = {item['dataset'] for item in items(DATASETS.build(train))}
    assert found == {'refcoco', 'refcoco+', 'refcocog'}
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type == 'RefCOCODataset'
        assert (loader.dataset.name, loader.dataset.split) == (
            'refcoco',
            'val',
        )
