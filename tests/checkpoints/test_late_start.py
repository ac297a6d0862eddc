"""Late text from the weights of models whose text enters earlier."""

import pytest
import torch
from small_models import INJECTORS

from mmdit.checkpoints.late_text import FIRST_BLOCK, start_text_at
from mmdit.registry import MODELS

WIDTH, DEPTH = 8, 4


def make_encoder(name, first_block=0):
    """Make an encoder in which all that an injector has matters."""
    torch.manual_seed(first_block)
    injector = dict(
        type=f'mmdit.{name}', text_dims=12, first_block=first_block
    )
    encoder = MODELS.build(
        dict(
            type='mmdit.SAMViT',
            arch=dict(
                embed_dims=WIDTH,
                depth=DEPTH,
                num_heads=2,
                global_attn_indexes=(1,),
            ),
            img_size=32,
            text_injector=injector,
        )
    ).eval()
    for value in encoder.parameters():
        torch.nn.init.normal_(value, std=0.5)
    return encoder


def whole(encoder):
    """Return an encoder's weights as those of a model."""
    return {f'backbone.{k}': v for k, v in encoder.state_dict().items()}


def fill(encoder, weights):
    encoder.load_state_dict(
        {k.removeprefix('backbone.'): v for k, v in weights.items()}
    )
    return encoder


@pytest.mark.parametrize('name', INJECTORS[1:])
@pytest.mark.parametrize('block', [0, 1, DEPTH - 1])
def test_the_blocks_that_see_text_keep_what_they_had(name, block):
    early = make_encoder(name)
    found, settings = start_text_at(block, whole(early), {})
    late = fill(make_encoder(name, block), found)
    assert settings == {FIRST_BLOCK: block}
    text = torch.randn(2, 5, 12)
    text, theirs = (e.text_injector.adapt(text) for e in (late, early))
    assert torch.equal(text, theirs)
    prompt = torch.randn(2, 5, WIDTH)
    image = torch.randn(2, 2, 2, WIDTH)
    for i in range(block, DEPTH):
        # The first block with text has what came in, as block 0 had.
        layer = i - block
        if name == 'LayerwiseCrossAttention' and layer == 0:
            expected = early.text_injector.projections[i](text)
        elif name == 'EndToEndToken' and layer == 0:
            expected = early.text_injector.projection(text)
        else:
            expected = early.text_injector(i, text, prompt, image)
        got = late.text_injector(layer, text, prompt, image)
        assert torch.equal(got, expected)


@pytest.mark.parametrize('name', INJECTORS[1:])
def test_two_steps_are_one(name):
    weights = whole(make_encoder(name))
    once, _ = start_text_at(2, weights, {})
    twice, settings = start_text_at(2, *start_text_at(1, weights, {}))
    assert settings == {FIRST_BLOCK: 2}
    assert once.keys() == twice.keys()
    assert all(torch.equal(once[key], twice[key]) for key in once)


def test_text_can_enter_no_earlier_and_only_some_block():
    weights, settings = start_text_at(
        2, whole(make_encoder('EndToEndProjection')), {}
    )
    for block in (-1, 1, DEPTH):
        with pytest.raises(
            ValueError,
            match=f'block 2 of the {DEPTH} .* from 2 to 3 .* got {block}',
        ):
            start_text_at(block, weights, settings)
    plain = {k: v for k, v in weights.items() if 'injector' not in k}
    with pytest.raises(ValueError, match='no text enters .* no change'):
        start_text_at(1, plain, {})


@pytest.mark.parametrize('said', [-2, 0.5, '1', True, None, DEPTH])
def test_a_record_that_is_no_block_is_told(said):
    weights = whole(make_encoder('LayerwiseProjection'))
    with pytest.raises(
        ValueError, match=f'{FIRST_BLOCK} .* is {said!r}; expected a block'
    ):
        start_text_at(2, weights, {FIRST_BLOCK: said})


@pytest.mark.parametrize('name', INJECTORS[1:])
def test_late_weights_without_a_record_are_not_cut_again(name):
    """Their lists would lose the wrong entries, or all of them."""
    weights, _ = start_text_at(2, whole(make_encoder(name)), {})
    with pytest.raises(ValueError, match=r'entries \[0.*each of 4 blocks'):
        start_text_at(3, weights, {})


@pytest.mark.parametrize(
    ('key', 'shape'),
    [('net.0.weight', (2, 2)), ('gates.0', (2,)), ('offsets', ())],
)
def test_an_unknown_injector_is_not_guessed_at(key, shape):
    weights = whole(make_encoder('LayerwiseProjection'))
    weights[f'backbone.text_injector.{key}'] = torch.zeros(shape)
    with pytest.raises(ValueError, match=f'{key} of shape .* no injector'):
        start_text_at(2, weights, {})
