"""Processes that Slurm or MPI has started, on a CPU."""

import os
import sys

import pytest
import torch
from forked import free_port, run_ranks
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from runs import write_run

from mmdit.cli.train import main
from mmdit.engine.distributed import use_launcher
from mmdit.registry import HOOKS


@HOOKS.register_module()
class KeepWeights(Hook):
    """Writes the weights of every rank."""

    def after_train(self, runner):
        state_dict = runner.model.module.state_dict()
        torch.save(state_dict, f'{runner.work_dir}-{get_rank()}.pth')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a small SynthRef, a config and a stand-in of Slurm's."""
    folder = tmp_path_factory.mktemp('run')
    write_run(folder, "custom_hooks = [dict(type='mmdit.KeepWeights')]\n")
    scontrol = folder / 'bin/scontrol'
    scontrol.parent.mkdir()
    scontrol.write_text(
        '#!/bin/sh\n[ "$*" = "show hostnames node[1-2]" ] || exit 1\n'
        'echo localhost\necho node2\n'
    )
    scontrol.chmod(0o755)
    return folder


OTHER_MACHINE = dict(
    OMPI_COMM_WORLD_RANK='1',
    OMPI_COMM_WORLD_LOCAL_RANK='0',
    OMPI_COMM_WORLD_SIZE='2',
    OMPI_COMM_WORLD_LOCAL_SIZE='1',
)


def variables(launcher, rank, folder):
    """Return what a launcher sets for one of two processes."""
    if launcher == 'slurm':
        return dict(
            PATH=f'{folder / "bin"}:{os.environ["PATH"]}',
            SLURM_PROCID=str(rank),
            SLURM_LOCALID=str(rank),
            SLURM_NTASKS='2',
            SLURM_NODELIST='node[1-2]',
        )
    return {
        f'OMPI_COMM_WORLD_{key}': str(value)
        for key, value in dict(
            RANK=rank, LOCAL_RANK=rank, SIZE=2, LOCAL_SIZE=2
        ).items()
    }


def test_two_processes_of_slurm_and_mpi_train_as_one(folder, monkeypatch):
    for launcher in ('slurm', 'mpi'):
        port = free_port()
        argv = ['train', 'config.py', '--launcher', launcher]
        monkeypatch.setattr(sys, 'argv', [*argv, '--work-dir', launcher])
        ranks = [variables(launcher, rank, folder) | port for rank in (0, 1)]
        run_ranks(main, folder, ranks)
    files = [
        f'{how}-{rank}.pth' for how in ('slurm', 'mpi') for rank in (0, 1)
    ]
    first, *others = [torch.load(folder / name) for name in files]
    for other in others:
        assert all(torch.equal(first[key], other[key]) for key in first)
    saved = torch.load(folder / 'mpi/iter_2.pth', weights_only=False)
    assert saved['meta']['world_size'] == 2
    assert saved['meta']['iter'] == 2


@pytest.mark.parametrize(
    ('launcher', 'environment', 'message'),
    [
        ('slurm', {}, 'SLURM_PROCID, .* srun sets: start with srun'),
        ('mpi', OTHER_MACHINE, 'needs MASTER_ADDR .* of rank 0'),
        ('PBS', {}, "unknown launcher 'PBS'; known: none, pytorch, slurm"),
    ],
)
def test_what_a_launcher_must_set_is_named(
    launcher, environment, message, monkeypatch
):
    monkeypatch.setattr(os, 'environ', environment)
    with pytest.raises(ValueError, match=message):
        use_launcher(Config(dict(launcher=launcher)))


def test_jobs_on_one_machine_have_ports_of_their_own(folder, monkeypatch):
    slurm = variables('slurm', 1, folder)
    cfg = dict(launcher='slurm', env_cfg=dict(dist_cfg=dict(port=23)))
    for settings, job, port in ((cfg, '70012', '23'), ({}, '70012', '20012')):
        monkeypatch.setattr(os, 'environ', slurm | dict(SLURM_JOB_ID=job))
        cfg = Config(dict(launcher='slurm') | settings)
        use_launcher(cfg)
        assert cfg.launcher == 'pytorch'
        assert os.environ['MASTER_PORT'] == port
        assert os.environ['RANK'] == os.environ['LOCAL_RANK'] == '1'
