"""The image encoder alone, in another project, from any kind of file."""

import pytest
import torch
from small_checkpoints import (
    DECODER,
    DEPTH,
    WIDTH,
    make_sam,
    to_authors,
)
from torch import nn

from mmdit.models.backbones import SAMViT
from mmdit.registry import MODELS

ARCH = dict(
    embed_dims=WIDTH, depth=DEPTH, num_heads=2, global_attn_indexes=(1,)
)


def start_from(checkpoint, **options):
    """Build and initialize an encoder as a foreign project does."""
    init_cfg = dict(type='mmdit.SAMPretrained', checkpoint=str(checkpoint))
    cfg = dict(
        type='mmdit.SAMViT',
        arch=ARCH,
        img_size=256,
        out_channels=DECODER,
        init_cfg=init_cfg,
    )
    model = MODELS.build({**cfg, **options})
    model.init_weights()
    return model.eval()


def assert_filled(model, expected):
    """Compare all that the model has, and return the number of tensors."""
    found = model.state_dict()
    for key, value in found.items():
        assert torch.equal(value, expected[key]), key
    return len(found)


@pytest.fixture
def weights(tmp_path):
    """Save a state dict; return its file."""

    def save(state_dict):
        torch.save(dict(state_dict=state_dict, meta={}), tmp_path / 'w.pth')
        return tmp_path / 'w.pth'

    return save


def test_metas_file_fills_it(sam, weights, said):
    model = start_from(weights(sam.state_dict()))
    expected = sam.image_encoder.state_dict()
    assert assert_filled(model, expected) == len(expected)
    assert 'dropped decode_head.' in said[0]
    # Nobody but the caller chose windows: SAM as published.
    images = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        theirs = sam.image_encoder(images)
        torch.testing.assert_close(
            model(images)[0], theirs, rtol=1e-4, atol=1e-4
        )


def test_a_hub_directory_fills_it(hf_sam, tmp_path):
    hf_sam.save_pretrained(tmp_path / 'hf')
    model = start_from(tmp_path / 'hf')
    image = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        theirs = hf_sam.vision_encoder(image).last_hidden_state
        torch.testing.assert_close(
            model(image)[0], theirs, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize('rename', [dict, to_authors])
@pytest.mark.parametrize('with_text', [True, False])
def test_a_file_with_text_fills_it(
    ldit, random_model, weights, said, rename, with_text
):
    trained = random_model(ldit)
    injector = dict(type='LayerwiseProjection', text_dims=8)
    model = start_from(
        weights(rename(trained.state_dict())),
        text_injector=injector if with_text else None,
    )
    assert_filled(model, trained.backbone.state_dict())
    left_out = 'dropped backbone.text_injector.' in said[-1]
    assert left_out == (not with_text)


def test_a_model_of_another_project_fills_it(sam, weights):
    encoder = sam.image_encoder.state_dict()
    foreign = {f'module.backbone.{k}': v for k, v in encoder.items()}
    foreign['module.bbox_head.fc.weight'] = torch.zeros(1)
    assert_filled(start_from(weights(foreign)), encoder)
    assert_filled(start_from(weights(encoder)), encoder)


def test_what_it_lacks_is_left_out_by_name(sam, weights, said):
    model = start_from(weights(sam.state_dict()), out_channels=0)
    assert model.neck is None
    assert 'dropped backbone.neck. (6 tensors): this encoder has' in said[0]


def test_an_injector_starts_from_its_own_initialization(sam, weights, said):
    injector = dict(type='mmdit.LayerwiseProjection', zero_init=False)
    file = weights(sam.state_dict())
    model = start_from(file, text_injector=injector)
    assert model.text_injector.projections[0].weight.any()
    assert 'backbone.text_injector. starts from its own' in said[0]


def test_positions_of_another_size_are_resized_and_said(sam, weights, said):
    file = weights(sam.state_dict())
    model = start_from(file, img_size=128, window_size=7)
    assert 'resized pos_embed from 16x16 to 8x8 (1x)' in said[0]
    assert 'resized rel_pos_h from 27 to 13 (2x)' in said[0]
    assert 'resized rel_pos_h from 31 to 15 (1x)' in said[0]
    native = start_from(file, attention='all')
    resized = start_from(file, attention='all', img_size=128)
    # At their own size they are what the others become there.
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(resized(image), native(image))
    assert model.blocks[0].attn.rel_pos_h.shape == (13, WIDTH // 2)


def test_mmengines_own_loading_resizes_them_too(sam, weights):
    init_cfg = dict(
        type='Pretrained',
        checkpoint=str(weights(sam.state_dict())),
        prefix='image_encoder.',
    )
    model = start_from('', img_size=128, init_cfg=init_cfg)
    expected = nn.functional.interpolate(
        sam.image_encoder.pos_embed.permute(0, 3, 1, 2), 8, mode='bicubic'
    )
    torch.testing.assert_close(model.pos_embed, expected.permute(0, 2, 3, 1))
    fc = 'mlp.lin1.weight'
    own, given = model.blocks[1], sam.image_encoder.blocks[1]
    assert torch.equal(own.state_dict()[fc], given.state_dict()[fc])


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (lambda w: w.pop('image_encoder.pos_embed'), 'missing: .*pos_embed'),
        (
            lambda w: w.pop('image_encoder.blocks.1.attn.rel_pos_w'),
            'missing: .*rel_pos_w',
        ),
        (
            lambda w: w.update(make_sam(width=24).state_dict()),
            r'another size: .*expected \(1, 16, 16, 16\)',
        ),
    ],
)
def test_what_does_not_fit_is_named(sam, weights, change, match):
    state_dict = sam.state_dict()
    change(state_dict)
    with pytest.raises(ValueError, match=match):
        start_from(weights(state_dict))


def test_another_injector_than_the_files_is_an_error(
    ldit, random_model, tmp_path
):
    from mmdit.checkpoints.settings import describe_settings

    trained = random_model(ldit)
    meta = dict(settings=describe_settings(trained))
    path = tmp_path / 'ldit.pth'
    torch.save(dict(state_dict=trained.state_dict(), meta=meta), path)
    injector = dict(type='mmdit.EndToEndProjection', text_dims=8)
    with pytest.raises(ValueError, match=r'backbone\.text_injector\.type'):
        start_from(path, text_injector=injector)


def test_an_encoder_inside_a_module_is_found(sam, weights):
    """MMEngine gives every part its own ``init_cfg``."""
    init_cfg = dict(
        type='mmdit.SAMPretrained', checkpoint=str(weights(sam.state_dict()))
    )
    encoder = SAMViT(
        ARCH, img_size=256, out_channels=DECODER, init_cfg=init_cfg
    )
    from mmengine.model import Sequential

    Sequential(encoder).init_weights()
    assert_filled(encoder, sam.image_encoder.state_dict())
