import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmdit.models.layers.linear import Linear, mlp
from mmdit.models.ops import products


@pytest.fixture(autouse=True, params=['mkl', 'onednn', 'plain'])
def library(request, monkeypatch):
    """Whatever this CPU and PyTorch have, each way gives the numbers."""
    if request.param == 'onednn' and not torch.backends.mkldnn.is_available():
        pytest.skip('this torch has no oneDNN')
    monkeypatch.setattr(
        products, 'has_fast_onednn', lambda: request.param == 'onednn'
    )
    if request.param == 'plain':
        monkeypatch.setattr(products, 'PRIVATE', frozenset())
    return request.param


def make(dtype=torch.float32):
    torch.manual_seed(0)
    return Linear(24, 40).to(dtype)


@pytest.mark.parametrize('gelu', [False, True])
@pytest.mark.parametrize('shape', [(24,), (5, 24), (2, 3, 4, 24)])
def test_equals_torch(shape, gelu):
    layer, x = make(), torch.randn(shape)
    expected = F.linear(x, layer.weight, layer.bias)
    expected = F.gelu(expected) if gelu else expected
    with torch.no_grad():
        assert products.by_hand(x)
        torch.testing.assert_close(layer(x, gelu=gelu), expected)


def test_strided_input():
    layer, x = make(), torch.randn(2, 24, 7).transpose(1, 2)
    with torch.no_grad():
        torch.testing.assert_close(
            layer(x), F.linear(x, layer.weight, layer.bias)
        )


@pytest.mark.parametrize('gelu', [False, True])
@pytest.mark.parametrize('shape', [(5, 24), (2, 3, 4, 24)])
def test_gradients_equal_torchs(shape, gelu):
    layer = make()
    x = torch.randn(shape, requires_grad=True)
    assert products.by_hand(x)

    def gradients(out):
        weight = torch.linspace(-1, 1, out.numel()).view_as(out)
        return torch.autograd.grad(
            (out * weight).sum(), [x, layer.weight, layer.bias]
        )

    expected = F.linear(x, layer.weight, layer.bias)
    expected = F.gelu(expected) if gelu else expected
    got = layer(x, gelu=gelu)
    for one, other in zip(gradients(got), gradients(expected), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('frozen', ['input', 'layer', 'both'])
def test_what_is_frozen_gets_no_gradient_and_keeps_nothing(frozen):
    layer, x = make(), torch.randn(5, 24)
    x.requires_grad_(frozen == 'layer')
    layer.requires_grad_(frozen == 'input')
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.shape) or tensor, lambda t: t
    ):
        out = layer(x)
    assert (
        kept
        == {
            'input': [x.shape],
            'layer': [layer.weight.shape],
            'both': [],
        }[frozen]
    )
    if frozen != 'both':
        out.sum().backward()
    assert (x.grad is not None) == (frozen == 'layer')
    assert (layer.weight.grad is not None) == (frozen == 'input')


@pytest.mark.parametrize('shape', [(5, 24), (2, 3, 4, 24)])
@pytest.mark.parametrize('frozen', [(), (0,), (1, 2), (3, 4), (0, 1, 2)])
def test_mlp_equals_torchs(shape, frozen):
    torch.manual_seed(0)
    first, second = Linear(24, 40), Linear(40, 24)
    inputs = [torch.randn(shape), *first.parameters(), *second.parameters()]
    for i, tensor in enumerate(inputs):
        tensor.requires_grad_(i not in frozen)
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    x, weight1, bias1, weight2, bias2 = inputs
    got = mlp(x, first, second)
    expected = F.linear(F.gelu(F.linear(x, weight1, bias1)), weight2, bias2)
    torch.testing.assert_close(got, expected)
    said = torch.linspace(-1, 1, got.numel()).view_as(got)
    for one, other in zip(
        torch.autograd.grad(got, wanted, said),
        torch.autograd.grad(expected, wanted, said),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_mlp_keeps_one_hidden_tensor():
    first, second = Linear(24, 40), Linear(40, 24)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.shape) or tensor, lambda t: t
    ):
        mlp(torch.randn(5, 24), first, second)
    assert kept.count((5, 40)) == 1


def test_other_types_take_torchs_own():
    x = torch.randn(3, 24)
    assert not products.by_hand(x.double())
    with torch.autocast('cpu', torch.bfloat16):
        assert not products.by_hand(x)
        assert make()(x).dtype == torch.bfloat16


def test_flop_counters_see_the_product():
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        make()(torch.randn(3, 24))
    assert counter.get_total_flops() == 2 * 3 * 24 * 40
