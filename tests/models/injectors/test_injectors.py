import pytest
import torch

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
