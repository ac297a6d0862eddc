import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed

from mmdit.datasets import RefCOCODataset
from mmdit.datasets.transforms import PackReferSegInputs
from mmdit.registry import TRANSFORMS

TRAIN = (
    dict(type='LoadReferImage'),
    dict(type='LoadReferMask'),
    dict(
        type='RandomChoiceResize',
        scales=[(size, size) for size in range(512, 319, -32)],
        keep_ratio=True,
    ),
    dict(type='ReferColorJitter'),
    dict(type='ReferGaussianBlur'),
    dict(type='ReferFlip'),
    dict(type='PackReferSegInputs'),
)
TEST = (
    dict(type='LoadReferImage'),
    dict(type='Resize', scale=(512, 512), keep_ratio=True),
    dict(type='LoadReferMask'),
    dict(type='PackReferSegInputs'),
)
META = dict(
    img_path='a.jpg',
    ori_shape=(6, 8),
    img_shape=(3, 4),
    expression='cat',
    image_id=1,
    ref_id=2,
    ann_id=3,
    sent_id=4,
    sample_idx=5,
)


def item():
    image = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    mask = np.eye(6, 8, dtype=np.uint8)
    return dict(META, img=image, gt_seg_map=mask, unknown=1)


@pytest.fixture
def scope():
    """Let configs name our transforms and mmcv's without a scope."""
    with DefaultScope.overwrite_default_scope('mmdit'):
        yield


def test_image_and_mask_become_tensors():
    source = item()
    packed = PackReferSegInputs().transform(item())
    expected = torch.from_numpy(source['img']).permute(2, 0, 1)
    assert packed['inputs'].dtype == torch.uint8
    assert packed['inputs'].is_contiguous()
    assert torch.equal(packed['inputs'], expected)
    mask = packed['data_samples'].gt_sem_seg.data
    assert mask.dtype == torch.int64
    assert torch.equal(mask[0], torch.from_numpy(source['gt_seg_map']))


def test_mirrored_views_become_tensors():
    source = item()
    source['img'] = source['img'][:, ::-1]
    source['gt_seg_map'] = source['gt_seg_map'][:, ::-1]
    expected = source['img'].transpose(2, 0, 1).tolist()
    assert PackReferSegInputs().transform(source)['inputs'].tolist() == (
        expected
    )


def test_metainfo_is_the_named_keys_and_no_other():
    packed = PackReferSegInputs().transform(item())
    assert packed['data_samples'].metainfo == META


def test_metainfo_can_be_chosen():
    pack = TRANSFORMS.build(
        dict(type='mmdit.PackReferSegInputs', meta_keys=['expression'])
    )
    sample = pack.transform(item())['data_samples']
    assert sample.metainfo == dict(expression='cat')


def test_optional_keys_are_carried_where_they_are():
    given = dict(no_target=True, dataset='refcoco+', flip=False)
    results = dict(item(), ann_id=[], **given)
    sample = PackReferSegInputs().transform(results)['data_samples']
    assert {key: sample.get(key) for key in given} == given
    assert sample.ann_id == []
    assert 'split_by' not in sample


def test_a_missing_key_is_named():
    results = item()
    del results['sent_id']
    with pytest.raises(KeyError, match='no sent_id in the item; .*meta_keys'):
        PackReferSegInputs().transform(results)


def test_an_item_without_mask_is_packed():
    results = item()
    del results['gt_seg_map']
    assert (
        'gt_sem_seg'
        not in PackReferSegInputs().transform(results)['data_samples']
    )


def test_the_training_pipeline_on_real_items(refer_mini, scope):
    set_random_seed(0)
    dataset = RefCOCODataset(
        data_root=str(refer_mini), split='val', pipeline=TRAIN
    )
    for packed in dataset:
        sample = packed['data_samples']
        assert packed['inputs'].shape == (3, *sample.img_shape)
        assert sample.gt_sem_seg.shape == sample.img_shape
        assert max(sample.img_shape) in range(320, 513, 32)
        assert sample.gt_sem_seg.data.unique().tolist() == [0, 1]


def test_the_test_pipeline_on_real_items(refer_mini, scope):
    dataset = RefCOCODataset(
        data_root=str(refer_mini), split='testA', pipeline=TEST, test_mode=True
    )
    batch = pseudo_collate(list(dataset))
    assert len(batch['inputs']) == len(dataset)
    for image, sample in zip(*batch.values(), strict=True):
        assert max(image.shape) == 512
        assert sample.gt_sem_seg.shape == sample.ori_shape
        assert image.shape[1:] == sample.img_shape
