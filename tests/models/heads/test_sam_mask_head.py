import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmdit.registry import MODELS


def build(**kwargs):
    cfg = dict(
        type='mmdit.SAMMaskHead',
        text_dims=12,
        embed_dims=32,
        num_heads=2,
        mlp_dims=48,
    )
    torch.manual_seed(0)
    return MODELS.build({**cfg, **kwargs}).eval()


@pytest.mark.parametrize('grid', [(4, 4), (3, 5)])
@torch.no_grad()
def test_decoding_equals_sams_decoder_image_by_image(grid):
    head = build()
    image, sparse = torch.randn(3, 32, *grid), torch.randn(3, 6, 32)
    got = head.decode(image, sparse)
    head.prompt_encoder.image_embedding_size = grid
    _, dense = head.prompt_encoder(points=None, boxes=None, masks=None)
    for i in range(3):
        masks, _ = head.mask_decoder(
            image_embeddings=image[i : i + 1],
            image_pe=head.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse[i : i + 1],
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        torch.testing.assert_close(got[i : i + 1], masks)


@torch.no_grad()
def test_padded_text_becomes_sams_padding_token():
    head = build()
    feats, text = (torch.randn(1, 32, 4, 4),), torch.randn(1, 5, 12)
    mask = torch.tensor([[True, True, False, False, False]])
    sparse = head.text_proj(text)
    sparse[:, 2:] = head.prompt_encoder.not_a_point_embed.weight
    got = head(feats, text, mask)
    torch.testing.assert_close(got, head.decode(feats[0], sparse))
    other = text.clone()
    other[:, 2:] = 0
    assert torch.equal(got, head(feats, other, mask))
    assert not torch.allclose(got, head(feats, text))


def test_loss_is_the_mean_cross_entropy_over_the_padded_square():
    head = build()
    logits = torch.randn(2, 1, 8, 8)
    labels = (torch.rand(2, 32, 32) > 0.7).long()
    big = F.interpolate(logits, (32, 32), mode='bilinear')[:, 0]
    probabilities = big.sigmoid()
    truth = labels.float()
    expected = -(
        truth * probabilities.log() + (1 - truth) * (1 - probabilities).log()
    ).mean()
    losses = head.loss(logits, labels)
    assert set(losses) == {'loss_mask'}
    torch.testing.assert_close(losses['loss_mask'], expected)


def test_align_corners_changes_the_upsampling():
    logits = torch.randn(1, 1, 4, 4)
    corners = build(align_corners=True).predict(logits, (16, 16))
    assert corners[0, 0, 0, 0] == logits[0, 0, 0, 0]
    inside = build().predict(logits, (16, 16))
    assert not torch.allclose(corners, inside)


def test_more_layers_keep_the_names_of_sams_two():
    two, six = build(), build(num_layers=6)
    names = set(two.state_dict())
    added = set(six.state_dict()) - names
    assert names < set(six.state_dict())
    assert {n.split('.')[3] for n in added} == {'2', '3', '4', '5'}


def test_features_of_another_width_are_rejected():
    with pytest.raises(ValueError, match='out_channels'):
        build()((torch.zeros(1, 16, 4, 4),), torch.zeros(1, 2, 12))


def test_losses_of_one_name_are_added():
    loss = dict(
        type='mmseg.CrossEntropyLoss', use_sigmoid=True, loss_name='loss_mask'
    )
    head = build(loss_decode=[loss, dict(loss, loss_weight=2.0)])
    assert isinstance(head.loss_decode, nn.ModuleList)
    logits, labels = torch.randn(1, 1, 4, 4), torch.ones(1, 4, 4).long()
    once = build().loss(logits, labels)['loss_mask']
    torch.testing.assert_close(
        head.loss(logits, labels)['loss_mask'], 3 * once
    )


POINTS = torch.tensor([[[3.0, 7.0], [20.0, 5.0]], [[2.0, 2.0], [30.0, 40.0]]])
LABELS = torch.tensor([[1, -1], [2, 3]])
SIZE = (48, 64)  # height, width in pixels


@torch.no_grad()
def test_points_and_boxes_are_embedded_as_sam_does():
    head = build()
    feats = (torch.randn(2, 32, 3, 4),)
    encoder = head.prompt_encoder
    encoder.input_image_size = SIZE
    # SAM itself pads a lone point, and a box comes without any.
    point, _ = encoder((POINTS[:1, :1], LABELS[:1, :1]), None, None)
    box, _ = encoder(None, POINTS[1:].flatten(1), None)
    expected = head.decode(feats[0], torch.cat([point, box]))
    height, width = SIZE
    points = (POINTS + 0.5) / torch.tensor([width, height])
    got = head(feats, points=points, labels=LABELS)
    torch.testing.assert_close(got, expected)


def test_points_train_where_they_are_asked_for():
    names = {n for n, p in build().named_parameters() if p.requires_grad}
    head = build(train_points=True)
    more = {n for n, p in head.named_parameters() if p.requires_grad} - names
    kinds = {f'prompt_encoder.point_embeddings.{i}.weight' for i in range(4)}
    assert more == {*kinds, 'prompt_encoder.not_a_point_embed.weight'}


def test_without_text_there_is_nothing_to_project_it():
    assert build(text_dims=None).text_proj is None
