import pytest
import torch
from mmengine.model import MomentumAnnealingEMA
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmdit.registry import MODELS


class Counter(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def make_model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model


def make_average(model, **kwargs):
    kwargs = dict(dict(momentum=0.05, gamma=9), **kwargs)
    ours = MODELS.build(
        dict(type='mmdit.ForeachMomentumAnnealingEMA', **kwargs),
        default_args=dict(model=model),
    )
    return ours, MomentumAnnealingEMA(model, **kwargs)


def train(model):
    """Move everything that trains, and the buffers."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    model(torch.randn(5, 3))


@pytest.mark.parametrize(
    'kwargs', [{}, dict(interval=3), dict(update_buffers=True)]
)
def test_the_average_is_mmengines(kwargs):
    model = make_model()
    ours, theirs = make_average(model, **kwargs)
    # Weights that are loaded after the average was made: the first step.
    with torch.no_grad():
        model[0].weight.add_(1)
    # momentum 0.05 is reached after 171 steps
    for _ in range(180):
        train(model)
        ours.update_parameters(model)
        theirs.update_parameters(model)
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    for key, value in ours.state_dict().items():
        assert torch.equal(value, expected[key]), key
    assert torch.equal(ours.module[0].weight, model[0].weight)
    assert not torch.equal(ours.module[2].weight, model[2].weight)


def test_either_resumes_from_the_other():
    model = make_model()
    ours, theirs = make_average(model)
    for one, other in ((ours, theirs), (theirs, ours)):
        for _ in range(3):
            train(model)
            one.update_parameters(model)
        other.load_state_dict(one.state_dict())
        train(model)
        ours.update_parameters(model)
        theirs.update_parameters(model)
        assert torch.equal(ours.module[2].weight, theirs.module[2].weight)


def test_a_step_is_one_operation():
    model = make_model()
    ours, theirs = make_average(model)
    counts = []
    for average in ours, theirs:
        average.update_parameters(model)
        with Counter() as counter:
            average.update_parameters(model)
        counts.append([name for name in counter.names if 'lerp' in name])
    assert counts == [['_foreach_lerp_'], ['lerp_'] * 6]
