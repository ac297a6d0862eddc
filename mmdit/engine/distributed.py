"""Several processes, also where there is no GPU."""

import os

import torch
from mmengine.config import Config

_RANKS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


def launcher_rank(launcher: str) -> int:
    """Return the rank of this process before there is a process group."""
    return int(os.environ.get(_RANKS.get(launcher, ''), 0))


def prepare_launcher(cfg: Config) -> None:
    """Let ``launcher='pytorch'`` work on a machine without GPUs.

    MMEngine binds every process to a CUDA device, so on a CPU the gloo group
    is made before the Runner looks, and the model is wrapped without device
    ids. With GPUs, or without a launcher, nothing happens.
    """
    if cfg.get('launcher', 'none') != 'pytorch' or torch.cuda.is_available():
        return
    torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None
    )
