import logging
import os
import pickle
from collections import Counter, defaultdict

import pytest
import torch
from mmengine.runner import Runner, set_random_seed

from mmdit.datasets import JointRefCOCODataset, RefCOCODataset
from mmdit.registry import DATASETS


def read(root, **kwargs):
    return RefCOCODataset(data_root=str(root), **kwargs)


def items(dataset):
    return [dataset[i] for i in range(len(dataset))]


def drawn(loader):
    """Return what one epoch draws: sentence of each ref, in order."""
    return [
        (record['ref_id'], record['sent_id'])
        for batch in loader
        for record in batch
    ]


def as_is(batch):
    return batch


def make_loader(dataset, num_workers, **kwargs):
    cfg = dict(
        dataset=dataset,
        batch_size=2,
        num_workers=num_workers,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type=as_is),
        worker_init_fn=dict(type='mmdit.seed_worker'),
        **kwargs,
    )
    return Runner.build_dataloader(cfg, seed=3)


@pytest.mark.parametrize(
    ('kwargs', 'refs', 'sentences'),
    [
        (dict(split='val'), 13, None),
        (dict(split='testA'), 4, None),
        (dict(split='testB'), 7, None),
        (dict(name='refcocog', split_by='google', split='val'), 8, 8),
    ],
)
def test_real_counts(refer_mini, kwargs, refs, sentences):
    by_ref = read(refer_mini, **kwargs)
    by_sentence = read(refer_mini, sample_by='sentence', **kwargs)
    assert len(by_ref) == refs
    number = sum(len(item['sentences']) for item in items(by_ref))
    assert len(by_sentence) == number == (sentences or number)


def test_real_sentences_add_up(refer_mini):
    splits = ('val', 'testA', 'testB')
    sets = [read(refer_mini, split=s, test_mode=True) for s in splits]
    assert sum(map(len, sets)) == 69
    every = [item for dataset in sets for item in items(dataset)]
    assert len({item['sent_id'] for item in every}) == 69
    assert all(os.path.isfile(item['img_path']) for item in every)


def test_a_record_by_sentence(tiny_refer):
    dataset = read(tiny_refer, split='val', test_mode=True)
    path = tiny_refer / 'images/train2014/COCO_train2014_000000000002.jpg'
    record = dataset[1]
    assert record.pop('segmentation')['size'] == [50, 30]
    assert record == dict(
        dataset='refcoco',
        split='val',
        img_path=str(path),
        image_id=2,
        ref_id=14,
        ann_id=103,
        sent_id=8,
        expression='bright square',
        height=50,
        width=30,
        sample_idx=1,
    )


def test_expressions_are_lower_case_and_stripped(tiny_refer):
    assert read(tiny_refer, sample_by='sentence')[0]['expression'] == (
        'left  box'
    )


@pytest.mark.parametrize(
    ('kwargs', 'length'),
    [
        (dict(), 4),
        (dict(test_mode=True), 7),
        (dict(sample_by='sentence'), 7),
        (dict(sample_by='ref'), 4),
        (dict(test_mode=True, skip_sent_ids=[0, 6]), 5),
        (dict(test_mode=True, indices=3), 3),
        (dict(serialize_data=False), 4),
        (dict(lazy_init=True), 4),
    ],
)
def test_lengths(tiny_refer, kwargs, length):
    dataset = read(tiny_refer, **kwargs)
    assert len(dataset) == length == len(items(dataset))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(dataset='coco'), r'coco/instances.json .* holds refcoco\)'),
        (dict(split_by='me'), r'refs\(me\)\.p .* holds refs\(unc\)\.p: set'),
    ],
)
def test_missing_files_list_those_that_are_there(tiny_refer, kwargs, message):
    with pytest.raises(FileNotFoundError, match=message):
        read(tiny_refer, **kwargs)


def test_a_folder_may_have_any_name(tiny_refer):
    expected = [item['sent_id'] for item in read(tiny_refer, test_mode=True)]
    (tiny_refer / 'refcoco').rename(tiny_refer / 'rrsisd')
    folder = tiny_refer / 'rrsisd'
    (folder / 'refs(unc).p').rename(folder / 'refs(me).p')
    prefix = dict(img_path='images/train2014')
    options = dict(dataset='rrsisd', split_by='me', test_mode=True)
    dataset = read(tiny_refer, **options, data_prefix=prefix)
    assert [item['sent_id'] for item in dataset] == expected
    other = read(tiny_refer, **options)[0]['img_path']
    assert other.startswith(str(tiny_refer / 'images' / 'COCO'))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(sample_by='image'), 'sample_by .*ref, sentence'),
        (dict(sample_by='ref', test_mode=True), "set sample_by='sentence'"),
        (dict(shuffle_expressions=True), "set sample_by='sentence'"),
    ],
)
def test_wrong_arguments_list_the_right_ones(tiny_refer, kwargs, message):
    with pytest.raises(ValueError, match=message):
        read(tiny_refer, **kwargs)


@pytest.mark.parametrize(
    ('dataset', 'prefix', 'expected'),
    [
        ('refcoco', None, 'images/train2014'),
        ('refclef', None, 'images/saiapr_tc-12'),
        ('refcoco', dict(img_path='coco'), 'coco'),
    ],
)
def test_image_folder(tiny_refer, dataset, prefix, expected):
    (tiny_refer / 'refcoco').rename(tiny_refer / dataset)
    item = read(tiny_refer, dataset=dataset, data_prefix=prefix)[0]
    folder = os.path.relpath(os.path.dirname(item['img_path']), tiny_refer)
    assert folder == expected


def test_an_absolute_image_folder_is_kept(tiny_refer):
    item = read(tiny_refer, data_prefix=dict(img_path='/coco'))[0]
    assert item['img_path'].startswith('/coco/COCO_train2014_')


def test_it_is_registered(tiny_refer):
    cfg = dict(type='mmdit.RefCOCODataset', data_root=str(tiny_refer))
    assert DATASETS.build(cfg).metainfo['classes'] == (
        'background',
        'referent',
    )


def test_each_visit_draws_a_sentence_of_the_ref(tiny_refer):
    dataset = read(tiny_refer)
    visits = [dataset[1] for _ in range(60)]
    expected = {2: 'right thing', 3: 'thing', 4: 'two pieces'}
    assert {v['sent_id']: v['expression'] for v in visits} == expected
    # 60 fair draws of 3: fewer than 8 of one kind has p < 0.001
    assert min(Counter(v['sent_id'] for v in visits).values()) >= 8


def test_draws_follow_the_seed_and_the_rank(tiny_refer, monkeypatch):
    def run(seed, rank):
        set_random_seed(seed)
        monkeypatch.setenv('RANK', rank)
        dataset = read(tiny_refer)
        return [dataset[1]['sent_id'] for _ in range(20)]

    assert run(1, '0') == run(1, '0')
    assert run(1, '0') != run(2, '0')
    assert run(1, '0') != run(1, '1')


def test_workers_draw_anew_in_each_epoch(tiny_refer):
    def run(num_workers):
        set_random_seed(5)
        dataset = read(tiny_refer)
        loader = make_loader(dataset, num_workers)
        return [drawn(loader) for _ in range(6)]

    first, again = run(2), run(2)
    assert first == again
    assert len({str(epoch) for epoch in first}) > 1


def test_workers_do_not_inherit_the_parents_draws(tiny_refer):
    set_random_seed(6)
    dataset = read(tiny_refer, indices=[1, 1] * 16)
    # the parent has drawn before it forks
    dataset[0]
    loader = make_loader(dataset, 2)
    sent_ids = [sent_id for _, sent_id in drawn(loader)]
    # two items in a batch, batches in turn: worker 0 has 0, 1, 4, 5, ...
    of_worker = [
        [s for i, s in enumerate(sent_ids) if i // 2 % 2 == worker]
        for worker in (0, 1)
    ]
    assert of_worker[0] != of_worker[1]


def test_a_persistent_worker_carries_on(tiny_refer):
    set_random_seed(7)
    dataset = read(tiny_refer, indices=[1] * 12)
    loader = make_loader(dataset, 1, persistent_workers=True)
    assert drawn(loader) != drawn(loader)


def test_a_pickled_dataset_draws(tiny_refer):
    dataset = read(tiny_refer)
    dataset[0]
    assert pickle.loads(pickle.dumps(dataset))[1]['sent_id'] in (2, 3, 4)


def test_shuffled_expressions_denote_another_referent(refer_mini):
    args = dict(split='val', test_mode=True)
    plain = items(read(refer_mini, **args))
    owner = {item['sent_id']: item for item in plain}
    referents = defaultdict(set)
    for item in plain:
        referents[item['image_id']].add(item['ann_id'])
    shuffled = items(read(refer_mini, shuffle_expressions=True, **args))
    for item in shuffled:
        speaker = owner[item['sent_id']]
        assert speaker['expression'] == item['expression']
        assert speaker['image_id'] == item['image_id']
        assert speaker['ann_id'] != item['ann_id']

    def targets(records):
        return Counter(item['ref_id'] for item in records)

    several = [i for i in plain if len(referents[i['image_id']]) > 1]
    assert targets(shuffled) == targets(several)
    assert shuffled


def test_shuffling_cycles_through_the_annotations(tiny_refer):
    args = dict(sample_by='sentence', shuffle_expressions=True)
    records = items(read(tiny_refer, **args))
    # annotation 100 is spoken of by refs 10 and 12, 101 by ref 11 alone;
    # image 2 has one referent
    assert [(r['ref_id'], r['sent_id']) for r in records] == [
        (10, 2),
        (10, 3),
        (11, 0),
        (11, 1),
        (11, 5),
        (12, 2),
    ]


def test_shuffling_counts_what_it_leaves_out(tiny_refer, monkeypatch):
    logged = []
    monkeypatch.setattr(
        'mmdit.datasets.refcoco.print_log',
        lambda message, **kwargs: logged.append((message, kwargs['level'])),
    )
    read(tiny_refer, sample_by='sentence', shuffle_expressions=True)
    [(message, level)] = logged
    assert 'leaves out 1 images' in message
    assert level == logging.WARNING


def test_draws_do_not_disturb_torch(tiny_refer):
    set_random_seed(8)
    state = torch.get_rng_state()
    items(read(tiny_refer))
    assert torch.equal(state, torch.get_rng_state())


def test_the_former_key_still_names_a_data_set(tiny_refer):
    # As where a config changes the name that it inherits.
    with pytest.warns(FutureWarning, match="name='refcoco'"):
        found = read(tiny_refer, name='refcoco+', dataset='refcoco')
    assert found.name == 'refcoco' and len(found)
    members = [dict(dataset='refcoco')]
    with pytest.warns(FutureWarning, match="'name' now"):
        joint = JointRefCOCODataset(
            data_root=str(tiny_refer), members=members, remove_leaks=False
        )
    assert len(joint) == len(found)
