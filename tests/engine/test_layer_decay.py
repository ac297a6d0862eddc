import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdit.registry import MODELS

CONSTRUCTOR = 'mmdit.LayerDecayOptimWrapperConstructor'
RATE, LR = 0.5, 1e-2


def learning_rates(model, constructor=CONSTRUCTOR, **paramwise):
    """Return the rate of every parameter that is optimized, by name."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type='AdamW', lr=LR, weight_decay=0.1),
            constructor=constructor,
            paramwise_cfg=paramwise,
        ),
    )
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(group['params'][0])]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
    }


@pytest.fixture
def segmentor(tiny_segmentor):
    return MODELS.build(tiny_segmentor)


def test_rates_decay_towards_the_patches(segmentor):
    found = learning_rates(segmentor, layer_decay_rate=RATE)
    for name, power in {
        'backbone.pos_embed': 4,
        'backbone.patch_embed.proj.weight': 4,
        'backbone.blocks.0.attn.rel_pos_h': 3,
        'backbone.blocks.2.mlp.lin2.bias': 1,
        'backbone.neck.0.weight': 0,
        'backbone.text_injector.projections.0.weight': 0,
        'decode_head.text_proj.weight': 0,
        'text_encoder.bert.embeddings.word_embeddings.weight': 0,
    }.items():
        assert found[name][0] == pytest.approx(LR * RATE**power), name
    assert found.keys() == {
        n for n, p in segmentor.named_parameters() if p.requires_grad
    }


def test_mmengines_rules_hold_as_well(segmentor):
    found = learning_rates(
        segmentor,
        layer_decay_rate=RATE,
        norm_decay_mult=0.0,
        custom_keys={'backbone.pos_embed': dict(lr_mult=2.0, decay_mult=0.0)},
    )
    lr, decay = found['backbone.pos_embed']
    assert lr == pytest.approx(LR * 2 * RATE**4) and decay == 0
    assert found['backbone.blocks.1.norm1.weight'][1] == 0
    assert found['backbone.blocks.1.mlp.lin1.weight'][1] == 0.1


def test_an_encoder_alone_and_one_deep_inside_are_found():
    cfg = dict(
        type='mmdit.SAMViT',
        arch=dict(embed_dims=8, depth=1, num_heads=1),
        frozen_stages=0,
    )
    encoder = MODELS.build(cfg)
    alone = learning_rates(encoder, layer_decay_rate=RATE)
    inside = learning_rates(
        nn.Sequential(nn.Sequential(encoder)), layer_decay_rate=RATE
    )
    assert inside == {f'0.0.{name}': lr for name, lr in alone.items()}
    assert alone['blocks.0.norm1.bias'][0] == LR * RATE
    # What is frozen is not optimized.
    assert 'pos_embed' not in alone


def test_what_cannot_decay_is_named(segmentor):
    with pytest.raises(ValueError, match=r'layer_decay_rate.*got None'):
        learning_rates(segmentor, norm_decay_mult=0.0)
    with pytest.raises(ValueError, match=r'got 1\.5'):
        learning_rates(segmentor, layer_decay_rate=1.5)
    with pytest.raises(ValueError, match='Linear has get_layer_depth'):
        learning_rates(nn.Linear(2, 2), layer_decay_rate=RATE)
