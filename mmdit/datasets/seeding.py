"""Random streams of data loading: new each epoch, other on each rank.

What a transform draws depends on the seed of the run and on the place of the
item in it, not on what was drawn before: a run that goes on after a crash
draws as one that was never interrupted, with any number of workers.
"""

import os
import random
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, is_distributed
from torch.utils.data import DataLoader, Sampler, get_worker_info

from mmdit.registry import FUNCTIONS

from .workers import outlive_signals

# Seeds of the item that is being loaded, if its place in the run is known.
_item_seeds: tuple[int, ...] | None = None


def process_rank() -> int:
    """Return the rank of this process or of the one it loads data for.

    A spawned worker has no process group; the launchers leave ``RANK`` in
    its environment.
    """
    return get_rank() if is_distributed() else int(os.environ.get('RANK', 0))


def process_seeds() -> tuple[int, ...]:
    """Return the seeds of the item being loaded, or of this process.

    In a worker the seed is the one that the data loader drew for it, so that
    it is new in each epoch (workers that persist carry on instead); elsewhere
    it is the seed of torch. All ranks of a run have the same seed, hence the
    rank.
    """
    if _item_seeds is not None:
        return _item_seeds
    worker = get_worker_info()
    seed = torch.initial_seed() if worker is None else worker.seed
    return seed, process_rank()


def seed_all(seeds: Sequence[int]) -> None:
    """Seed ``random``, numpy and torch, on every device."""
    words = np.random.SeedSequence(seeds).generate_state(6, np.uint64)
    np.random.seed(words[:4].view(np.uint32))
    torch.manual_seed(int(words[4]))
    random.seed(int(words[5]))


@FUNCTIONS.register_module()
def seed_worker(
    worker_id: int, disable_subprocess_warning: bool = False
) -> None:
    """Seed ``random``, numpy and torch of a worker, anew in each epoch.

    MMEngine's own ``worker_init_fn`` seeds from run seed, rank and worker id
    alone: where workers do not persist, each epoch then repeats the crops,
    flips and colors of the first. Use it by
    ``worker_init_fn=dict(type='mmdit.seed_worker')`` in a data loader; the
    scope must be spelt out, because the Runner looks the name up in
    MMEngine's root registry, without the default scope. Runs with
    ``AtomicCheckpointHook`` seed every item instead (:func:`seed_items`).

    Args:
        worker_id: Number of the worker, given by the data loader.
        disable_subprocess_warning: Let only worker 0 show warnings.
    """
    seed_all(process_seeds())
    if disable_subprocess_warning and worker_id != 0:
        warnings.simplefilter('ignore')
    outlive_signals()


class _Place(int):
    """Index of an item that knows the seeds of its place in the run."""

    seeds: tuple[int, ...]


class PlacedSampler(Sampler):
    """Passes on the indices of a sampler, each with its place in the run.

    Args:
        sampler: Gives the indices.
        seed: Seed of the run.
        epoch: Epoch of the first pass, where the sampler does not know it.
        start: Number of indices that the sampler itself leaves out at first.
        skip: Number of indices to leave out of the first pass.
    """

    def __init__(
        self,
        sampler: Sampler,
        seed: int,
        epoch: int = 0,
        start: int = 0,
        skip: int = 0,
    ) -> None:
        self.sampler = sampler
        self.seed = seed
        self.epoch = epoch
        self.start = start
        self.skip = skip

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices."""
        epoch = getattr(self.sampler, 'epoch', self.epoch)
        start, skip, rank = self.start, self.skip, process_rank()
        self.epoch, self.start, self.skip = self.epoch + 1, 0, 0
        for position, index in enumerate(self.sampler, start):
            if position >= start + skip:
                place = _Place(index)
                place.seeds = (self.seed, epoch, rank, position, 1)
                yield place

    def __len__(self) -> int:
        """Return the length of the sampler."""
        return len(self.sampler)  # type: ignore[arg-type]


class _SeededItems:
    """Loads the items of a batch, each with the seeds of its place."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, indices: Sequence[int]) -> list:
        """Load a batch."""
        global _item_seeds
        items = []
        try:
            for index in indices:
                if isinstance(index, _Place):
                    _item_seeds = index.seeds
                    seed_all(index.seeds)
                items.append(self.dataset[index])
        finally:
            _item_seeds = None
        return items


def seed_items(loader: DataLoader, **places: int) -> None:
    """Let a loader seed every item by its place in the run.

    To be called before the loader is first iterated over.

    Args:
        loader: Loads batches of a fixed size by index.
        **places: As in :class:`PlacedSampler`, all but the sampler.
    """
    batches: Any = loader.batch_sampler
    if not hasattr(batches, 'sampler'):
        return  # it chooses indices in a way of its own
    batches.sampler = PlacedSampler(batches.sampler, **places)
    dataset: Any = loader.dataset
    if hasattr(dataset, '__dict__'):  # a list draws nothing
        # PyTorch asks a data set for a whole batch, where it has this method.
        dataset.__getitems__ = _SeededItems(dataset)
