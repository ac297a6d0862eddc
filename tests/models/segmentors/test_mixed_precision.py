"""A training step in bfloat16, on a CPU."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from small_models import INJECTORS
from test_referring_segmentor import KEY_BIASES, make_data, run

from mmdit.registry import MODELS

CONFIG = dict(
    type='mmdit.BFloat16OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-2, fused=True),
    clip_grad=dict(max_norm=0.15, norm_type=2),
)


def build(cfg, injector, attention='all'):
    backbone = cfg['backbone']
    backbone.update(attention=attention, window_size=3)
    backbone['arch']['global_attn_indexes'] = (1,)
    backbone['text_injector'] = injector and dict(type=f'mmdit.{injector}')
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    # The injectors' zero projections would keep the text away.
    for parameter in model.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return model.train()


def gradients(model, context):
    """Return the loss and what it sends to every trainable parameter."""
    torch.manual_seed(1)
    with context:
        (loss,) = run(model, make_data(), 'loss', training=True).values()
    loss.backward()
    found = {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    model.zero_grad()
    return loss, found


def flatten(grads):
    return torch.cat([grad.flatten() for grad in grads.values()])


@pytest.mark.parametrize('injector', INJECTORS)
@pytest.mark.parametrize('attention', ['all', 'windowed'])
def test_gradients_are_those_of_float32_but_for_rounding(
    tiny_segmentor, injector, attention
):
    model = build(tiny_segmentor, injector, attention)
    wrapper = build_optim_wrapper(model, CONFIG)
    loss, grads = gradients(model, wrapper.optim_context(model))
    exact_loss, exact = gradients(model, torch.enable_grad())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact_loss, atol=2e-3, rtol=0)
    assert not torch.equal(loss, exact_loss)
    unmoved = [name for name, grad in grads.items() if not grad.any()]
    assert [name for name in unmoved if not name.endswith(KEY_BIASES)] == []
    cosine = torch.cosine_similarity(flatten(grads), flatten(exact), dim=0)
    assert cosine > 0.98


def test_logits_become_float32_before_they_are_resized(tiny_segmentor):
    model = build(tiny_segmentor, 'LayerwiseProjection')
    seen = []
    model.decode_head.loss_decode[0].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].dtype)
    )
    with torch.autocast('cpu', torch.bfloat16):
        run(model, make_data(), 'loss', training=True)
        samples = run(model, make_data(training=False), 'predict')
    assert seen == [torch.float32]
    assert {s.seg_logits.data.dtype for s in samples} == {torch.float32}


def test_a_step_moves_what_trains_and_nothing_else(tiny_segmentor):
    tiny_segmentor['backbone']['frozen'] = True
    tiny_segmentor['text_encoder']['frozen'] = True
    model = build(tiny_segmentor, 'EndToEndToken')
    before = {k: v.clone() for k, v in model.named_parameters()}
    wrapper = build_optim_wrapper(model, CONFIG)
    for _ in range(2):
        logs = model.train_step(make_data(), wrapper)
        assert torch.isfinite(logs['loss'])
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        if not name.endswith(KEY_BIASES):
            moved = not torch.equal(parameter, before[name])
            assert moved == parameter.requires_grad, name
