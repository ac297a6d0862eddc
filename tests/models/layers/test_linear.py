import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmdit.models.layers import linear


def make(dtype=torch.float32):
    torch.manual_seed(0)
    return linear.Linear(24, 40).to(dtype)


@pytest.mark.parametrize('gelu', [False, True])
@pytest.mark.parametrize('shape', [(24,), (5, 24), (2, 3, 4, 24)])
def test_equals_torch(shape, gelu):
    layer, x = make(), torch.randn(shape)
    expected = F.linear(x, layer.weight, layer.bias)
    expected = F.gelu(expected) if gelu else expected
    with torch.no_grad():
        assert linear.use_onednn(x) == torch.backends.mkldnn.is_available()
        torch.testing.assert_close(layer(x, gelu=gelu), expected)


def test_strided_input():
    layer, x = make(), torch.randn(2, 24, 7).transpose(1, 2)
    with torch.no_grad():
        torch.testing.assert_close(
            layer(x), F.linear(x, layer.weight, layer.bias)
        )


def test_other_types_and_gradients_take_torchs_own():
    x = torch.randn(3, 24)
    assert not linear.use_onednn(x)
    with torch.no_grad():
        assert not linear.use_onednn(x.double())
        with torch.autocast('cpu', torch.bfloat16):
            assert not linear.use_onednn(x)
            assert make()(x).dtype == torch.bfloat16


def test_flop_counters_see_the_product():
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        make()(torch.randn(3, 24))
    assert counter.get_total_flops() == 2 * 3 * 24 * 40
