"""Memory of a training step, counted on tensors without memory."""

import pytest
import torch
from mmengine.registry import init_default_scope

from mmdit.models.memory import (
    LiveMemory,
    build_optimizer,
    count_memory,
    run_step,
)
from mmdit.registry import MODELS

SIZE = (32, 48)
# Without a state, which takes the time of most operators.
SGD = dict(type='SGD', lr=0.1)


@pytest.fixture
def tiny_segmentor(tiny_segmentor):
    """The same with one layer of each kind: every operator takes its time."""
    tiny_segmentor['text_encoder']['config']['num_hidden_layers'] = 1
    tiny_segmentor['backbone']['arch']['depth'] = 1
    tiny_segmentor['decode_head']['num_layers'] = 1
    return tiny_segmentor


def test_what_is_held_counts_and_views_count_once():
    with LiveMemory() as memory:
        held = torch.zeros(10, 5)
        view = held.t()[:2]
        assert memory.now == 200
        copied = view + 1
        assert memory.now == 280
        del held
        assert memory.now == 280  # the view still holds it
        del view, copied
    assert memory.now == 0
    assert memory.peak == 280


@pytest.mark.parametrize(
    ('dtype', 'with_cp', 'first_block', 'optimizer'),
    [(torch.float32, False, 1, None), (torch.bfloat16, True, 0, SGD)],
)
def test_equals_what_real_tensors_take(
    tiny_segmentor, dtype, with_cp, first_block, optimizer
):
    init_default_scope('mmdit')
    backbone = tiny_segmentor['backbone']
    backbone['with_cp'] = with_cp
    backbone['arch']['depth'] = 1 + first_block
    backbone['text_injector']['first_block'] = first_block
    counted = count_memory(tiny_segmentor, 2, SIZE, dtype, optimizer)
    tiny_segmentor['backbone']['attention_backend'] = 'folded'
    model = MODELS.build(tiny_segmentor).train()
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    built = build_optimizer(model, optimizer)
    with LiveMemory() as memory:
        for tensor in [*model.parameters(), *model.buffers()]:
            memory.add(tensor)
        parameters = memory.now
        run_step(model, built, 2, SIZE, dtype)
        built.zero_grad()
        run_step(model, built, 2, SIZE, dtype)
        state = memory.now - parameters
    # Real words are more than the special tokens of the counted vocabulary.
    assert counted.parameters == pytest.approx(parameters, rel=0.01)
    assert counted.state == pytest.approx(state, rel=0.01)
    assert counted.peak == pytest.approx(memory.peak, rel=0.01)
    # Some of SAM's parameters are not used in training.
    assert 0.9 * trained < counted.gradients <= trained
    assert counted.peak > counted.parameters + counted.state
    if optimizer is None:
        # Adam keeps two of each, and its steps.
        assert counted.state == pytest.approx(3 * counted.gradients, rel=0.01)


def test_scores_of_all_pairs_of_tokens_are_kept_by_one_backend(tiny_segmentor):
    init_default_scope('mmdit')
    tiny_segmentor['text_encoder'] = None
    tiny_segmentor['backbone']['text_injector'] = None

    def activations(backend):
        memory = count_memory(
            *(tiny_segmentor, 1, (512, 512)), optimizer=SGD, backend=backend
        )
        return memory.peak - memory.parameters - memory.state

    heads, tokens = 2, 64 * 64
    scores = 4 * heads * tokens**2
    assert activations('folded') < scores / 2
    assert activations('reference') > scores
