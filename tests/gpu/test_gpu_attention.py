"""On a GPU every backend gives the numbers of the reference."""

import pytest
import torch
from torch.nn.functional import pad

from mmdit.models.layers import BACKENDS, attend

pytestmark = pytest.mark.gpu

FAST = [name for name in BACKENDS if name != 'reference']
# Of the largest number: TF32 has 10 bits, bfloat16 has 7.
TOLERANCES = {torch.float32: 2e-3, torch.bfloat16: 3e-2}


@pytest.fixture
def unfused(device, monkeypatch):
    """Give FlexAttention a backward pass on a CPU, too."""
    if device.type == 'cpu':
        from torch.nn.attention import flex_attention

        check = '_validate_device'
        monkeypatch.setattr(flex_attention, check, lambda *_: None)


@pytest.mark.usefixtures('unfused')
@pytest.mark.filterwarnings('ignore:flex_attention called without')
@pytest.mark.parametrize('name', FAST)
@pytest.mark.parametrize('dtype', TOLERANCES, ids=str)
# The heads of ViT-B and ViT-H.
@pytest.mark.parametrize('width', [64, 80])
def test_backends_equal_the_reference(device, name, dtype, width):
    side = 32 if device.type == 'cuda' else 3
    tokens, texts = side**2, 20
    generator = torch.Generator().manual_seed(0)
    shapes = (
        *((texts + tokens, width),) * 3,
        *((tokens, side),) * 2,
    )
    exact = [
        torch.randn(2, 2, *shape, generator=generator)
        .to(dtype)
        .double()
        .requires_grad_()
        for shape in shapes
    ]
    inputs = [
        tensor.detach().to(device, dtype).requires_grad_() for tensor in exact
    ]
    real = torch.arange(texts) < torch.tensor([[texts], [5]])
    mask = pad(real, (0, tokens), value=True)

    def compute(backend, tensors, mask):
        out = attend(*tensors, key_mask=mask, backend=backend)
        weight = torch.linspace(-1, 1, out.numel()).view_as(out).to(out)
        return out, *torch.autograd.grad((out * weight).sum(), tensors)

    expected = compute('reference', exact, mask)
    got = compute(name, inputs, mask.to(device))
    for one, other in zip(got, expected, strict=True):
        difference = (one.cpu().double() - other).abs().max()
        assert difference <= TOLERANCES[dtype] * other.abs().max()
