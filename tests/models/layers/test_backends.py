"""Every way to compute the attention gives the same numbers."""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmdit.models.layers import BACKENDS, attend
from mmdit.models.ops import attention

# FlexAttention starts anew for every size of input, so it is tried on one.
EAGER = ['sdpa', 'folded', 'chunked']
LEAN = ['folded', 'chunked']


def test_every_backend_is_tried():
    assert set(BACKENDS) == {'reference', 'flex', *EAGER}


def make_inputs(batch, heads, grid, query_text, key_text, width, **options):
    """Return query, key, value, rel_h and rel_w of random numbers."""
    tokens = grid[0] * grid[1]
    generator = torch.Generator().manual_seed(0)
    shapes = (
        (query_text + tokens, width),
        (key_text + tokens, width),
        (key_text + tokens, width),
        (tokens, grid[0]),
        (tokens, grid[1]),
    )
    return [
        torch.randn(
            batch, heads, *shape, generator=generator, dtype=torch.float64
        )
        .to(**options)
        .requires_grad_()
        for shape in shapes
    ]


def make_mask(batch, grid, key_text, seed=0):
    """Hide some text keys; image keys are never hidden."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.rand(batch, key_text, generator=generator) > 0.5
    return F.pad(text, (0, grid[0] * grid[1]), value=True)


def outputs_and_gradients(name, inputs, mask):
    out = attend(*inputs, key_mask=mask, backend=name)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype)
    grads = torch.autograd.grad((out * weight.view_as(out)).sum(), inputs)
    return out, *grads


@st.composite
def problems(draw):
    """Draw shapes, who is masked, and how much is computed at a time."""
    key_text = draw(st.integers(0, 4))
    return dict(
        batch=draw(st.integers(1, 3)),
        heads=draw(st.integers(1, 3)),
        grid=draw(st.tuples(st.integers(1, 5), st.integers(1, 5))),
        query_text=draw(st.sampled_from([0, key_text])),
        key_text=key_text,
        width=draw(st.integers(1, 9)),
        masked=draw(st.booleans()),
        chunk=draw(st.integers(1, 3000)),
        private=draw(st.sampled_from([attention.PRIVATE, frozenset()])),
    )


@pytest.mark.parametrize('name', EAGER)
@given(problem=problems())
@settings(max_examples=60, deadline=None)
def test_equals_the_reference(name, problem):
    masked = problem.pop('masked')
    changed = dict(
        CHUNK_ENTRIES=problem.pop('chunk'), PRIVATE=problem.pop('private')
    )
    inputs = make_inputs(**problem)
    mask = None
    if masked:
        sizes = {k: problem[k] for k in ('batch', 'grid', 'key_text')}
        mask = make_mask(**sizes)
    expected = outputs_and_gradients('reference', inputs, mask)
    with mock.patch.multiple(attention, **changed):
        got = outputs_and_gradients(name, inputs, mask)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings('ignore:flex_attention called without')
def test_flex_equals_the_reference(monkeypatch):
    from torch.nn.attention import flex_attention

    # PyTorch offers no backward pass on a CPU; the unfused one has it.
    monkeypatch.setattr(flex_attention, '_validate_device', lambda *_: None)
    inputs = make_inputs(2, 2, (2, 3), query_text=4, key_text=4, width=4)
    mask = make_mask(2, (2, 3), 4)
    assert not mask.all()
    expected = outputs_and_gradients('reference', inputs, mask)
    got = outputs_and_gradients('flex', inputs, mask)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('name', ['reference', *EAGER])
@pytest.mark.parametrize(
    ('dtype', 'tolerance'),
    [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)],
)
def test_lower_precision_stays_close(name, dtype, tolerance):
    problem = dict(
        batch=2, heads=2, grid=(6, 7), query_text=5, key_text=5, width=16
    )
    mask = make_mask(2, (6, 7), 5)
    exact = outputs_and_gradients('reference', make_inputs(**problem), mask)
    inputs = make_inputs(**problem, dtype=dtype)
    for one, other in zip(
        outputs_and_gradients(name, inputs, mask), exact, strict=True
    ):
        assert one.dtype == dtype
        difference = (one.double() - other).abs().max()
        assert difference <= tolerance * other.abs().max()


def test_unknown_backend_lists_the_known_ones():
    inputs = make_inputs(1, 1, (1, 1), 0, 0, 2)
    with pytest.raises(ValueError, match='magic.*reference, sdpa'):
        attend(*inputs, backend='magic')


class LargestOutput(TorchDispatchMode):
    """Remember the largest tensor that any operator returns."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def largest_tensor(name, side):
    inputs = make_inputs(1, 2, (side, side), 3, 3, 8)
    with (
        mock.patch.object(attention, 'CHUNK_ENTRIES', 4096),
        LargestOutput() as largest,
    ):
        outputs_and_gradients(name, inputs, None)
    return largest.numel


@pytest.mark.parametrize('name', LEAN)
def test_memory_grows_with_the_tokens_not_with_their_square(name):
    small, large = largest_tensor(name, 12), largest_tensor(name, 24)
    # 4 times the tokens; the head widens with the side of the grid, and a
    # piece holds a fixed number of scores for each thread.
    assert large < 8 * small
    assert largest_tensor('reference', 24) > 12 * largest_tensor(
        'reference', 12
    )
