import pytest
import torch

from mmdit.models.layers import JointAttention, attend


def plain_attention(query, key, value, rel_h, rel_w, key_mask=None):
    """Write the bias out for every pair of image tokens."""
    tokens, width = rel_h.shape[2], rel_w.shape[3]
    bias = torch.zeros(*query.shape[:3], key.shape[2], dtype=query.dtype)
    first_query, first_key = query.shape[2] - tokens, key.shape[2] - tokens
    for j in range(tokens):
        bias[:, :, first_query:, first_key + j] = (
            rel_h[..., j // width] + rel_w[..., j % width]
        )
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + bias
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask[:, None, None], -torch.inf)
    return scores.softmax(-1) @ value


@pytest.mark.parametrize('grid', [(3, 3), (2, 5), (4, 1)])
@pytest.mark.parametrize(('query_text', 'key_text'), [(0, 0), (4, 4), (0, 4)])
@pytest.mark.parametrize('masked', [False, True])
def test_equals_the_written_out_bias(grid, query_text, key_text, masked):
    torch.manual_seed(0)
    tokens = grid[0] * grid[1]
    shapes = [
        (2, 3, query_text + tokens, 6),
        (2, 3, key_text + tokens, 6),
        (2, 3, key_text + tokens, 6),
        (2, 3, tokens, grid[0]),
        (2, 3, tokens, grid[1]),
    ]
    inputs = [
        torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes
    ]
    mask = None
    if masked:
        mask = torch.ones(2, key_text + tokens, dtype=torch.bool)
        mask[0, key_text - 2 : key_text] = key_text == 0
    ours = attend(*inputs, key_mask=mask)
    plain = plain_attention(*inputs, key_mask=mask)
    torch.testing.assert_close(ours, plain)
    weight = torch.randn_like(plain)
    for got, expected in zip(
        torch.autograd.grad((ours * weight).sum(), inputs),
        torch.autograd.grad((plain * weight).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)


@torch.no_grad()
def test_weights_swapped_in_without_a_trace_are_noticed():
    """As MMEngine swaps averaged weights in, before it calls eval()."""
    attention = JointAttention(8, 2, table_size=3).eval()
    x = torch.randn(1, 16, 8)
    torch.nn.init.normal_(attention.rel_pos_h)
    before = attention(x, (4, 4))
    attention.rel_pos_h.data.copy_(torch.randn(5, 4))
    attention.eval()
    after = attention(x, (4, 4))
    fresh = JointAttention(8, 2, table_size=3)
    fresh.load_state_dict(attention.state_dict())
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, fresh(x, (4, 4)))
