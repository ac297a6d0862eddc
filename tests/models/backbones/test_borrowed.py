"""What other MM projects expect of a backbone."""

import pytest
import torch
from mmengine.model import (
    convert_sync_batchnorm,
    revert_sync_batchnorm,
)
from small_models import INJECTORS
from torch import nn
from torch.nn import functional as F

from mmdit.models.backbones import SAMViT

ARCH = dict(embed_dims=24, depth=3, num_heads=2, global_attn_indexes=(1,))


def build(**options):
    torch.manual_seed(0)
    options = {'patch_size': 8, 'img_size': 64, **options}
    model = SAMViT(ARCH, window_size=3, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model.eval()


def trainable(model):
    return {n for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ('options', 'channels'),
    [
        (dict(), [256]),
        (dict(out_indices=(0, 1, -1)), [24, 24, 24]),
        (dict(out_indices=(0, -1), out_channels=10), [24, 10]),
        (dict(out_indices=(1,)), [24]),
        (dict(out_channels=0), [24]),
    ],
)
def test_the_neck_follows_the_last_block_where_it_is_alone(options, channels):
    maps = build(**options)(torch.randn(1, 3, 48, 32))
    assert [m.shape[1:] for m in maps] == [(c, 6, 4) for c in channels]


def test_windows_are_its_own_without_text_only():
    assert build().attention == 'windowed'
    injector = dict(type='mmdit.LayerwiseProjection')
    assert build(text_injector=injector).attention == 'all'
    assert (
        build(text_injector=injector, attention='windowed')
        .blocks[0]
        .attn.window_size
    )


@pytest.mark.parametrize('size', [(70, 88), (64, 33), (5, 8)])
def test_other_sizes_are_padded_in_the_corner(size):
    model, images = build(), torch.randn(2, 3, *size)
    padded = F.pad(images, (0, -size[1] % 8, 0, -size[0] % 8))
    (got,), (expected,) = model(images), model(padded)
    assert got.shape[2:] == (-(-size[0] // 8), -(-size[1] // 8))
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ('frozen_stages', 'frozen'),
    [
        (-1, ()),
        (0, ('patch_embed', 'pos_embed')),
        (2, ('patch_embed', 'pos_embed', 'blocks.0.', 'blocks.1.')),
    ],
)
def test_first_stages_keep_their_values(frozen_stages, frozen):
    model = build(frozen_stages=frozen_stages).train()
    names = dict(model.named_parameters())
    assert trainable(model) == {n for n in names if not n.startswith(frozen)}
    model(torch.randn(1, 3, 64, 64))[0].square().mean().backward()
    assert {n for n, p in names.items() if p.grad is not None} == trainable(
        model
    )
    still = [b for b in model.blocks if not b.training]
    assert len(still) == max(frozen_stages, 0)


@pytest.mark.parametrize('frozen_stages', [-2, 4])
def test_stages_that_are_not_there_are_an_error(frozen_stages):
    with pytest.raises(ValueError, match='frozen_stages'):
        build(frozen_stages=frozen_stages)


def test_blocks_that_no_map_depends_on_do_not_train():
    """DistributedDataParallel would wait for their gradients."""
    model = build(out_indices=(0, 1)).train()
    sum(m.square().mean() for m in model(torch.randn(1, 3, 64, 64))).backward()
    unused = {n for n, p in model.named_parameters() if p.grad is None}
    assert {n.split('.')[1] for n in unused} == {'2'}
    assert trainable(model).isdisjoint(unused)


@pytest.mark.parametrize('out_indices', [(0,), (0, 1)])
@pytest.mark.parametrize('injector', INJECTORS[1:])
def test_injectors_have_nothing_for_blocks_that_do_not_run(
    injector, out_indices
):
    """Nor has one of a single block anything that blocks after it use."""
    cfg = dict(type=f'mmdit.{injector}')
    model = build(out_indices=out_indices, text_injector=cfg, text_dims=12)
    maps = model.train()(torch.randn(1, 3, 32, 32), torch.randn(1, 3, 12))
    sum(m.square().mean() for m in maps).backward()
    used = {n for n, p in model.named_parameters() if p.grad is not None}
    assert trainable(model) == used


def test_depths_count_from_patches_to_what_follows():
    model = build(text_injector=dict(type='mmdit.LayerwiseProjection'))
    depths = {
        name: model.get_layer_depth(f'backbone.{name}', 'backbone.')
        for name, _ in model.named_parameters()
    }
    assert depths['pos_embed'] == depths['patch_embed.proj.bias'] == (0, 5)
    assert depths['blocks.0.attn.rel_pos_h'] == (1, 5)
    assert depths['blocks.2.mlp.lin1.weight'] == (3, 5)
    assert depths['neck.0.weight'] == (4, 5)
    assert depths['text_injector.projections.0.bias'] == (4, 5)
    assert model.get_layer_depth('head.fc.bias', 'backbone.') == (4, 5)


def test_recomputing_in_half_precision_gives_the_same_gradients():
    images = torch.randn(1, 3, 70, 60)
    gradients = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp, out_indices=(1, 2)).train()
        with torch.autocast('cpu', torch.bfloat16):
            maps = model(images)
        sum(m.float().square().mean() for m in maps).backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other)


def test_its_norms_are_none_that_sync_batchnorm_replaces():
    model = nn.Sequential(build(), nn.BatchNorm2d(256))
    before = [type(m) for m in model[0].modules()]
    model = convert_sync_batchnorm(model, 'torch')
    assert isinstance(model[1], nn.SyncBatchNorm)
    model = revert_sync_batchnorm(model)
    assert not isinstance(model[1], nn.SyncBatchNorm)
    assert [type(m) for m in model[0].modules()] == before
    model[0](torch.randn(1, 3, 64, 64))
