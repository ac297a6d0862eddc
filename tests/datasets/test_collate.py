import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmdit.datasets import one_storage_collate
from mmdit.datasets.transforms import PackReferSegInputs

SIZES = [(4, 6), (5, 3), (4, 6), (2, 8)]


class Items(Dataset):
    """Packed items, of which those in ``masked`` have a mask."""

    def __init__(self, masked):
        self.masked = masked

    def __len__(self):
        return len(SIZES)

    def __getitem__(self, idx):
        rng = np.random.default_rng(idx)
        image = rng.integers(0, 256, (*SIZES[idx], 3), np.uint8)
        results = dict(img=image, expression=f'thing {idx}')
        if idx in self.masked:
            # as in testing, of another size than the image
            results['gt_seg_map'] = rng.integers(0, 2, (7, 9 + idx), np.uint8)
        return PackReferSegInputs(meta_keys=['expression']).transform(results)


def load(masked, num_workers):
    cfg = dict(
        dataset=Items(masked),
        batch_size=len(SIZES),
        num_workers=num_workers,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='mmdit.one_storage_collate'),
    )
    (batch,) = Runner.build_dataloader(cfg)
    return batch


def masks(batch):
    samples = batch['data_samples']
    return [s.gt_sem_seg.data for s in samples if 'gt_sem_seg' in s]


@pytest.mark.parametrize('num_workers', [0, 1])
@pytest.mark.parametrize('masked', [(), (1, 3), (0, 1, 2, 3)])
def test_a_batch_equals_pseudo_collates(masked, num_workers):
    batch = load(masked, num_workers)
    expected = pseudo_collate(list(Items(masked)))
    assert batch.keys() == expected.keys()
    for ours, theirs in (
        (batch['inputs'], expected['inputs']),
        (masks(batch), masks(expected)),
    ):
        assert len(ours) == len(theirs)
        assert all(map(torch.equal, ours, theirs))
    for i, sample in enumerate(batch['data_samples']):
        assert sample.metainfo == dict(expression=f'thing {i}')
        assert ('gt_sem_seg' in sample) == (i in masked)


def test_images_share_a_storage_and_masks_another():
    batch = load(range(4), num_workers=1)
    tensors = [*batch['inputs'], *masks(batch)]
    assert len({t.untyped_storage().data_ptr() for t in tensors}) == 2


def test_without_workers_nothing_is_copied():
    items = list(Items((0,)))
    assert one_storage_collate(items)['inputs'][2] is items[2]['inputs']
