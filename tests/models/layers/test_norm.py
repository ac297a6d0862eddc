import torch

from mmdit.models.layers import StdLayerNorm


def test_constant_tokens_have_finite_gradients():
    tokens = torch.zeros(1, 2, 6, requires_grad=True)
    out = StdLayerNorm(6)(tokens)
    assert not out.any()
    out.square().sum().backward()
    assert tokens.grad.isfinite().all()


def test_half_precision_is_normalized_in_float32():
    tokens = torch.randn(2, 3, 64)
    got = StdLayerNorm(64)(tokens.bfloat16())
    expected = StdLayerNorm(64)(tokens.bfloat16().float())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected)
