"""The fused optimizer of the schedule does what the plain one does."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

ROOT = Path(__file__).parents[2]


class ScaledOptimWrapper(OptimWrapper):
    """What AmpOptimWrapper does to the loss, where there is no GPU."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scaler = torch.amp.GradScaler('cpu', init_scale=2.0**10)

    def backward(self, loss, **kwargs):
        self.scaler.scale(loss).backward(**kwargs)

    def step(self, **kwargs):
        self.scaler.unscale_(self.optimizer)
        self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()


def make_run(fused, scaled):
    path = ROOT / 'configs/_base_/schedules/adam_40e.py'
    cfg = Config.fromfile(path).optim_wrapper
    assert cfg.optimizer.fused
    cfg.optimizer.update(fused=fused, lr=1e-2)
    if scaled:
        cfg.type = ScaledOptimWrapper
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    return model, build_optim_wrapper(model, cfg)


def train(model, wrapper, steps, broken=()):
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(4, 5, generator=generator)
        loss = model(inputs).square().mean()
        wrapper.update_params(loss * float('inf') if step in broken else loss)


def assert_equal(one, other):
    for key, value in one.state_dict().items():
        torch.testing.assert_close(
            value, other.state_dict()[key], atol=1e-6, rtol=1e-5
        )


@pytest.mark.parametrize('scaled', [False, True])
def test_steps_are_those_of_the_plain_optimizer(scaled):
    fused, plain = make_run(True, scaled), make_run(False, scaled)
    before = copy.deepcopy(fused[0])
    train(*fused, range(20))
    train(*plain, range(20))
    assert_equal(fused[0], plain[0])
    assert not torch.equal(fused[0][0].weight, before[0].weight)


def test_an_overflow_skips_the_step():
    fused, plain = make_run(True, True), make_run(False, True)
    train(*fused, range(5), broken=(2,))
    train(*plain, range(5), broken=(2,))
    assert fused[1].scaler.get_scale() == 2.0**9
    assert_equal(fused[0], plain[0])


@pytest.mark.parametrize('saved_fused', [False, True])
def test_either_resumes_from_the_other(saved_fused, tmp_path):
    model, wrapper = make_run(saved_fused, False)
    train(model, wrapper, range(3))
    state = dict(model=model.state_dict(), optimizer=wrapper.state_dict())
    torch.save(state, tmp_path / 'saved.pth')
    state = torch.load(tmp_path / 'saved.pth', weights_only=True)
    other, resumed = make_run(not saved_fused, False)
    other.load_state_dict(state['model'])
    resumed.load_state_dict(state['optimizer'])
    train(model, wrapper, range(3, 8))
    train(other, resumed, range(3, 8))
    assert_equal(other, model)
