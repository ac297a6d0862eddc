import random

import numpy as np
import pytest
import torch
from mmengine.runner import Runner, set_random_seed
from torch.utils.data import Dataset


class Draws(Dataset):
    """Each item is a draw of every generator that transforms may use."""

    def __len__(self):
        return 4

    def __getitem__(self, idx):
        return (
            int(np.random.randint(2**31)),
            random.randrange(2**31),
            int(torch.randint(2**31, ())),
        )


def as_is(batch):
    return batch


def epochs(num_workers, seed=1, number=2):
    set_random_seed(seed)
    cfg = dict(
        dataset=Draws(),
        batch_size=1,
        num_workers=num_workers,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type=as_is),
        worker_init_fn=dict(type='mmdit.seed_worker'),
    )
    loader = Runner.build_dataloader(cfg, seed=seed)
    return [[item for [item] in loader] for _ in range(number)]


@pytest.mark.parametrize('num_workers', [1, 2])
def test_every_draw_of_every_epoch_is_new(num_workers):
    drawn = [item for epoch in epochs(num_workers) for item in epoch]
    for values in zip(*drawn, strict=True):
        assert len(set(values)) == len(drawn)


def test_the_seed_decides():
    assert epochs(2) == epochs(2)
    assert epochs(2) != epochs(2, seed=2)


def test_ranks_differ(monkeypatch):
    first = epochs(1, number=1)[0]
    monkeypatch.setenv('RANK', '1')
    second = epochs(1, number=1)[0]
    for mine, yours in zip(first, second, strict=True):
        assert all(a != b for a, b in zip(mine, yours, strict=True))
