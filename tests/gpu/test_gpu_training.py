"""Training on a GPU: mixed precision, resumed, DDP and FSDP of one process."""

import copy
import os
from unittest import mock

import pytest
import torch
from mmengine.config import Config
from runs import write_run
from torch import distributed

from mmdit.engine.amp import use_amp
from mmdit.engine.loading import SafeRunner, use_safe_loading

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

MORE = """
default_hooks = dict(checkpoint=dict(interval=1))
model = dict(backbone=dict(arch=dict(depth=1), with_cp=True))
custom_hooks = [dict(type='EMAHook',
                     ema_type='mmdit.ForeachMomentumAnnealingEMA')]
"""


@pytest.fixture(scope='module')
def train(device, tmp_path_factory):
    """Train two steps with some options; return the last checkpoint."""
    folder = tmp_path_factory.mktemp('gpu')
    write_run(folder, MORE)

    def train(name, amp=None, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            use_safe_loading()
            cfg = copy.deepcopy(Config.fromfile('config.py'))
            cfg.merge_from_dict(dict(options, work_dir=name))
            # Of a config, this would come before what the launcher sets.
            if 'model_wrapper_cfg' in options:
                cfg.model_wrapper_cfg = dict(options['model_wrapper_cfg'])
            if amp is not None:
                use_amp(cfg, amp)
            runner = SafeRunner.from_cfg(cfg)
            runner.train()
            for parameter in runner.model.parameters():
                assert parameter.device.type == device.type
            path = folder / name / 'iter_2.pth'
            return torch.load(path, map_location='cpu', weights_only=False)

    return train


@pytest.fixture(scope='module')
def whole(train):
    """The checkpoint of a run as it is usual."""
    return train('whole')


@pytest.fixture
def group(device, tmp_path):
    """Be the only process of a distributed training."""
    backend = 'nccl' if device.type == 'cuda' else 'gloo'
    place = dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0')
    with mock.patch.dict(os.environ, place):
        distributed.init_process_group(
            backend, f'file://{tmp_path}/group', rank=0, world_size=1
        )
        yield
        distributed.destroy_process_group()


def assert_alike(one, other, tolerance=1e-3):
    """Compare what two steps have left, up to the order of sums.

    Not the weights: Adam moves each as far, however small its gradient is.
    """
    for part in ('state_dict', 'ema_state_dict'):
        assert one[part].keys() == other[part].keys()
        for key, value in one[part].items():
            assert value.dtype == other[part][key].dtype
            assert value.isfinite().all(), key
    found, expected = (
        {
            key: state['exp_avg']
            for key, state in run['optimizer']['state'].items()
        }
        for run in (one, other)
    )
    assert found.keys() == expected.keys()
    largest = max(moment.abs().max() for moment in expected.values())
    assert largest > 0
    for key, moment in expected.items():
        assert (found[key] - moment).abs().max() <= tolerance * largest


def test_a_resumed_run_goes_on_as_the_whole_one(train, whole):
    resumed = train('resumed', resume=True, load_from='whole/iter_1.pth')
    assert resumed['meta']['iter'] == 2
    assert_alike(resumed, whole)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_mixed_precision_stays_near_float32(device, train, whole, dtype):
    if dtype == 'float16' and device.type == 'cpu':
        pytest.skip('float16 needs a GPU')
    # A scale so large that the first steps are left out would learn nothing.
    scale = dict(loss_scale=2.0) if dtype == 'float16' else {}
    half = train(dtype, dtype, optim_wrapper=scale)
    assert_alike(half, whole, 0.05)
    exact = whole['state_dict']
    assert any(not half['state_dict'][k].equal(v) for k, v in exact.items())


@pytest.mark.usefixtures('group')
@pytest.mark.parametrize(
    'wrapper', ['MMDistributedDataParallel', 'mmdit.FullySharded']
)
def test_one_process_of_many_trains_as_one_alone(
    device, train, whole, wrapper
):
    cfg = dict(type=wrapper)
    if wrapper == 'MMDistributedDataParallel':
        index = [0] if device.type == 'cuda' else None
        cfg.update(device_ids=index, find_unused_parameters=True)
    found = train(wrapper, launcher='pytorch', model_wrapper_cfg=cfg)
    assert_alike(found, whole)
