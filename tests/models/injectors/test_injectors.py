import pytest
import torch
from small_models import INJECTORS

from mmdit.models.injectors import build_injector
from mmdit.registry import MODELS

PROJECTIONS = ['LayerwiseProjection', 'EndToEndProjection']


def build(name, **kwargs):
    cfg = dict(type=f'mmdit.{name}', **kwargs)
    size = dict(embed_dims=8, depth=3, text_dims=8)
    return MODELS.build(cfg, default_args=size)


@pytest.mark.parametrize('name', PROJECTIONS)
def test_prompts_start_at_zero_unless_told_otherwise(name):
    text = torch.randn(2, 4, 8)
    for zero_init in (True, False):
        injector = build(name, zero_init=zero_init).eval()
        prompts = [injector(i, text, text, None) for i in range(3)]
        assert all(prompt.any() != zero_init for prompt in prompts)


@pytest.mark.parametrize('name', PROJECTIONS)
def test_dropout_acts_in_training_only(name):
    text = torch.randn(2, 50, 8)
    injector = build(name, zero_init=False, dropout=0.5)
    dropped = (injector(0, text, text, None) == 0).float().mean()
    assert 0.4 < dropped < 0.6
    injector.eval()
    assert (injector(0, text, text, None) != 0).all()


def test_text_of_the_encoders_width_is_not_mapped():
    injector = build('LayerwiseProjection')
    text = torch.randn(2, 4, 8)
    assert injector.adapt(text) is text
    assert not list(injector.adapter.parameters())


@pytest.mark.parametrize('name', ['LayerwiseToken', 'EndToEndToken'])
def test_longer_text_than_static_tokens_names_the_config_key(name):
    injector = build(name, num_tokens=5)
    injector.adapt(torch.zeros(1, 5, 8))
    with pytest.raises(
        ValueError, match=f'at most 5.*7.*num_tokens of {name}'
    ):
        injector.adapt(torch.zeros(1, 7, 8))


def test_inner_width_must_fit_the_heads():
    with pytest.raises(ValueError, match='inner_dims'):
        build('LayerwiseCrossAttention', inner_dims=9, num_heads=2)


def test_unknown_variant_lists_the_known_ones():
    cfg = dict(type='mmdit.SAMViT', text_injector=dict(type='Telepathy'))
    with (
        torch.device('meta'),
        pytest.raises(ValueError, match='Telepathy.*LayerwiseProjection'),
    ):
        MODELS.build(cfg)


@pytest.mark.parametrize('name', INJECTORS[1:])
def test_late_text_has_layers_for_the_blocks_that_see_it(name):
    sizes = [
        sum(p.numel() for p in injector.parameters())
        for injector in (
            build_injector(dict(type=f'mmdit.{name}', first_block=k), 8, d, 8)
            for k, d in ((2, 5), (0, 3), (0, 5))
        )
    ]
    assert sizes[0] == sizes[1] < sizes[2]
