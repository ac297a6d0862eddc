"""Several processes, also where there is no GPU."""

import os
import signal
import subprocess
import threading
import time

import torch
from mmengine.config import Config

# What starts the processes, and where it puts what torch.distributed reads.
_VARIABLES = dict(
    pytorch=('torchrun', dict(RANK='RANK', WORLD_SIZE='WORLD_SIZE')),
    slurm=(
        'srun',
        dict(
            RANK='SLURM_PROCID',
            LOCAL_RANK='SLURM_LOCALID',
            WORLD_SIZE='SLURM_NTASKS',
        ),
    ),
    mpi=(
        'mpirun',
        dict(
            RANK='OMPI_COMM_WORLD_RANK',
            LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK',
            WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
        ),
    ),
)
_DDP = 'MMDistributedDataParallel'


def use_launcher(cfg: Config) -> None:
    """Give this process the variables of torchrun, whatever started it.

    MMEngine's own ways for Slurm and MPI need a GPU, and with MPI wrap the
    models of all processes for the first one.

    Args:
        cfg: A config with ``launcher`` 'none', 'pytorch', 'slurm' or 'mpi'
            (Open MPI), which becomes 'none' or 'pytorch'.

    Raises:
        ValueError: This process was not started that way.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    if launcher not in _VARIABLES:
        raise ValueError(
            f'unknown launcher {launcher!r}; known: none, '
            f'{", ".join(_VARIABLES)}'
        )
    starter, names = _VARIABLES[launcher]
    missing = [name for name in names.values() if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher} needs {", ".join(missing)} in the '
            f'environment, which {starter} sets: start with {starter}, or '
            'give --gpus N instead'
        )
    os.environ.update({key: os.environ[name] for key, name in names.items()})
    # Two jobs may share a machine.
    job = int(os.environ.get('SLURM_JOB_ID', 9500)) % 10000
    port = cfg.get('env_cfg', {}).get('dist_cfg', {}).pop('port', None)
    os.environ.setdefault('MASTER_PORT', str(port or 20000 + job))
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_machine(launcher)
    cfg.launcher = 'pytorch'


def _first_machine(launcher: str) -> str:
    """Return the name of the machine that has the process of rank 0."""
    if launcher == 'slurm':
        nodes = os.environ['SLURM_NODELIST']
        command = ['scontrol', 'show', 'hostnames', nodes]
        return subprocess.check_output(command, text=True).split()[0]
    here = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE')
    if os.environ['WORLD_SIZE'] == here:
        return '127.0.0.1'
    raise ValueError(
        f'--launcher {launcher} on several machines needs MASTER_ADDR in the '
        'environment, the name of the machine of rank 0: mpirun -x '
        'MASTER_ADDR=NAME'
    )


def is_first_process(cfg: Config) -> bool:
    """Tell whether this process has rank 0, before there is a group."""
    return cfg.launcher == 'none' or int(os.environ['RANK']) == 0


def prepare_launcher(cfg: Config) -> None:
    """Let several processes work without GPUs, and end with their launcher.

    MMEngine binds every process to a CUDA device, so on a CPU the gloo group
    is made before the Runner looks, and the model is wrapped without device
    ids.
    """
    if cfg.get('launcher', 'none') == 'none':
        return
    watch_parent()
    if torch.cuda.is_available():
        return
    torch.distributed.init_process_group('gloo')
    wrapper = cfg.get('model_wrapper_cfg') or {}
    if 'DistributedDataParallel' in str(wrapper.get('type', _DDP)):
        cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)


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
