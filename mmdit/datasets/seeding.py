"""Random streams of data loading: new each epoch, other on each rank."""

import os
import random
import warnings

import numpy as np
import torch
from mmengine.dist import get_rank, is_distributed
from torch.utils.data import get_worker_info

from mmdit.registry import FUNCTIONS


def process_rank() -> int:
    """Return the rank of this process or of the one it loads data for.

    A spawned worker has no process group; the launchers leave ``RANK`` in
    its environment.
    """
    return get_rank() if is_distributed() else int(os.environ.get('RANK', 0))


def process_seeds() -> tuple[int, int]:
    """Return the seed of this process and its rank.

    In a worker the seed is the one that the data loader drew for it, so that
    it is new in each epoch (workers that persist carry on instead); elsewhere
    it is the seed of torch. All ranks of a run have the same seed, hence the
    rank.
    """
    worker = get_worker_info()
    seed = torch.initial_seed() if worker is None else worker.seed
    return seed, process_rank()


@FUNCTIONS.register_module()
def seed_worker(
    worker_id: int, disable_subprocess_warning: bool = False
) -> None:
    """Seed ``random``, numpy and torch of a worker, anew in each epoch.

    MMEngine's own ``worker_init_fn`` seeds from run seed, rank and worker id
    alone: where workers do not persist, each epoch then repeats the crops,
    flips and colours of the first. Use it by
    ``worker_init_fn=dict(type='mmdit.seed_worker')`` in a data loader; the
    scope must be spelt out, because the Runner looks the name up in
    MMEngine's root registry, without the default scope.

    Args:
        worker_id: Number of the worker, given by the data loader.
        disable_subprocess_warning: Let only worker 0 show warnings.
    """
    sequence = np.random.SeedSequence(process_seeds())
    for_numpy, for_torch, for_random = sequence.spawn(3)
    np.random.seed(for_numpy.generate_state(4))
    torch.manual_seed(int(for_torch.generate_state(1, np.uint64)[0]))
    random.seed(int(for_random.generate_state(1, np.uint64)[0]))
    if disable_subprocess_warning and worker_id != 0:
        warnings.simplefilter('ignore')
