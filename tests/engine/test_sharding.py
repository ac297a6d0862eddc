"""Two processes that train together, and share out the parameters."""

import copy

import pytest
import torch
from crashes import PARTS, differences
from forked import free_port, run_ranks
from mmengine.config import Config
from runs import Line, write_run

from mmdit.engine.distributed import prepare_launcher
from mmdit.engine.loading import SafeRunner, use_safe_loading
from mmdit.engine.sharding import FullySharded

pytestmark = pytest.mark.slow

SHARDED = dict(type='mmdit.FullySharded')
HALF = dict(SHARDED, param_dtype='bfloat16')
RUNS = dict(
    ddp={},
    ddp_resumed=dict(resume=True, load_from='ddp/iter_1.pth'),
    shared=dict(model_wrapper_cfg=SHARDED, train_cfg=dict(val_interval=2)),
    resumed=dict(
        model_wrapper_cfg=SHARDED, resume=True, load_from='shared/iter_1.pth'
    ),
    half=dict(model_wrapper_cfg=HALF, train_cfg=dict(max_iters=1)),
)
MORE = """
default_hooks = dict(checkpoint=dict(interval=1))
model = dict(
    # Each parameter is gathered again and again.
    text_encoder=dict(config=dict(num_hidden_layers=1)),
    backbone=dict(arch=dict(depth=2), with_cp=True),
    decode_head=dict(num_layers=1),
)
val_dataloader = dict(
    num_workers=0, sampler=dict(type='DefaultSampler', round_up=True)
)
custom_hooks = [dict(type='EMAHook',
                     ema_type='mmdit.ForeachMomentumAnnealingEMA')]
launcher = 'pytorch'
"""


def train_all():
    """Train as DDP, shared out, resumed, and in bfloat16."""
    cfg = Config.fromfile('config.py')
    prepare_launcher(cfg)
    use_safe_loading()
    for name, options in RUNS.items():
        run = copy.deepcopy(cfg)
        run.merge_from_dict(dict(options, work_dir=name))
        # Of a config, this would come before what the launcher sets.
        if 'model_wrapper_cfg' in options:
            run.model_wrapper_cfg = dict(options['model_wrapper_cfg'])
        runner = SafeRunner.from_cfg(run)
        parameters = runner.train().module.parameters()
        kept = [p.to_local() for p in parameters if hasattr(p, 'to_local')]
        kept = sum(share.numel() for share in kept)
        whole = sum(p.numel() for p in runner.model.module.parameters())
        assert name.startswith('ddp') or 0.45 < kept / whole < 0.55


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with the checkpoints of all runs."""
    folder = tmp_path_factory.mktemp('shared')
    write_run(folder, MORE)
    place = free_port() | dict(MASTER_ADDR='127.0.0.1', WORLD_SIZE='2')
    ranks = [dict(place, RANK=rank, LOCAL_RANK=rank) for rank in '01']
    run_ranks(train_all, folder, ranks)
    return folder


def read(folder, name):
    return torch.load(folder / name, weights_only=False)


def test_shared_out_parameters_learn_as_whole_ones(folder):
    whole, shared = (
        read(folder, f'{n}/iter_2.pth') for n in ('ddp', 'shared')
    )
    for part in ('state_dict', 'ema_state_dict'):
        assert whole[part].keys() == shared[part].keys()
        for key, value in shared[part].items():
            assert type(value) is torch.Tensor, key
            torch.testing.assert_close(value, whole[part][key])
    start = read(folder, 'ddp/iter_1.pth')['state_dict']
    assert any(
        not torch.equal(value, whole['state_dict'][key])
        for key, value in start.items()
    )
    one, other = (c['optimizer']['state'] for c in (whole, shared))
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(other[key], one[key])


@pytest.mark.parametrize(
    ('whole', 'resumed'), [('ddp', 'ddp_resumed'), ('shared', 'resumed')]
)
def test_two_processes_go_on_as_if_never_interrupted(folder, whole, resumed):
    one, other = (read(folder, f'{n}/iter_2.pth') for n in (whole, resumed))
    assert not differences(
        *({part: c[part] for part in PARTS} for c in (one, other)), 'run'
    )


def test_units_compute_in_bfloat16_with_float32_weights(folder):
    whole, half = (
        read(folder, f'{n}/iter_1.pth')['state_dict'] for n in ('ddp', 'half')
    )
    assert all(half[key].dtype == value.dtype for key, value in whole.items())
    assert all(value.isfinite().all() for value in half.values())
    assert any(not half[key].equal(value) for key, value in whole.items())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(param_dtype='float16'), "'bfloat16' or None, got 'float16'"),
        (dict(), "no part of Line is called 'blocks' or 'layer'"),
    ],
)
def test_what_cannot_be_shared_out_is_told(options, message):
    with pytest.raises(ValueError, match=message):
        FullySharded(Line(), **options)
