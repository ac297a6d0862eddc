"""Several processes, also where there is no GPU."""

import os
import signal
import threading
import time

import torch
from mmengine.config import Config

_RANKS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


def launcher_rank(launcher: str) -> int:
    """Return the rank of this process before there is a process group."""
    return int(os.environ.get(_RANKS.get(launcher, ''), 0))


def prepare_launcher(cfg: Config) -> None:
    """Let ``launcher='pytorch'`` work without GPUs, and end with torchrun.

    MMEngine binds every process to a CUDA device, so on a CPU the gloo group
    is made before the Runner looks, and the model is wrapped without device
    ids.
    """
    if cfg.get('launcher', 'none') != 'pytorch':
        return
    watch_parent()
    if torch.cuda.is_available():
        return
    torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None
    )


def watch_parent(grace: float = 60) -> None:
    """End this process when the one that started it is gone.

    A killed launcher cannot tell its ranks. They get SIGINT, at which training
    saves a checkpoint, and a kill where that takes too long.

    Args:
        grace: Seconds until the kill.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(grace)
        os._exit(128 + signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
