from functools import partial

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT
from small_models import INJECTORS
from torch import nn
from torch.nn import functional as F

from mmdit.models.backbones.sam_vit import PatchEmbed
from mmdit.registry import MODELS

TINY = dict(embed_dims=48, depth=4, num_heads=3, global_attn_indexes=(1, 3))
# Heads as wide as SAM's, over as many tokens as SAM's.
WIDE = dict(embed_dims=192, depth=2, num_heads=3, global_attn_indexes=(1,))


def build(**kwargs):
    model = MODELS.build(dict(type='mmdit.SAMViT', **kwargs))
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model.eval()


def small(injector=None, first_block=0, **kwargs):
    if injector is not None:
        injector = dict(
            type=f'mmdit.{injector}', text_dims=12, first_block=first_block
        )
    kwargs = dict(
        arch=dict(
            embed_dims=24, depth=3, num_heads=2, global_attn_indexes=(1,)
        ),
        patch_size=4,
        img_size=32,
        window_size=3,
        out_channels=10,
        text_injector=injector,
        **kwargs,
    )
    return build(**kwargs).double()


def sams_encoder(arch, size):
    return ImageEncoderViT(
        img_size=size,
        embed_dim=arch['embed_dims'],
        depth=arch['depth'],
        num_heads=arch['num_heads'],
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=arch['global_attn_indexes'],
    ).eval()


@pytest.mark.parametrize(
    ('arch', 'size'),
    [(TINY, 512), (WIDE, 1024)],
)
@torch.no_grad()
def test_without_text_it_is_sams_encoder(arch, size):
    ours = build(arch=arch, img_size=size, attention='windowed')
    theirs = sams_encoder(arch, size)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(1, 3, size, size)
    (got,), expected = ours(images), theirs(images)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def norm_formula(norm, x):
    """Divide by the unbiased standard deviation plus 1e-6."""
    scale = x.std(-1, unbiased=True, keepdim=True) + 1e-6
    return (x - x.mean(-1, keepdim=True)) / scale * norm.weight + norm.bias


def attention_formula(layer, x, source, mask=None):
    """Attend head by head, key by key."""
    q, k, v = layer.query(x), layer.key(source), layer.value(source)
    width = q.shape[-1] // layer.num_heads
    heads = []
    for h in range(layer.num_heads):
        part = slice(h * width, (h + 1) * width)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / width**0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -torch.inf)
        heads.append(scores.softmax(-1) @ v[..., part])
    return layer.out(torch.cat(heads, -1))


def prompt_formula(injector, i, y, out, x, mask):
    """Say what enters block i, given what left block i - 1."""
    kind = type(injector).__name__
    if kind == 'LayerwiseProjection':
        return injector.projections[i](y)
    if kind == 'EndToEndProjection':
        return injector.projections[i](out if i else y)
    if kind == 'LayerwiseToken':
        return y + injector.offsets[i][: y.shape[1]]
    if kind == 'EndToEndToken':
        if i == 0:
            return injector.projection(y)
        return out + injector.offsets[i - 1][: y.shape[1]]
    if kind == 'LayerwiseCrossAttention':
        z = injector.projections[i](y)
        if i == 0:
            return z
        look = attention_formula(injector.attentions[i - 1], y, out, mask)
        return norm_formula(injector.norms[i - 1], z + look)
    assert kind == 'LayerwiseCrossAttentionFFN'
    layer = injector.layers[i]
    f = y + attention_formula(layer.attention, y, x)
    f = norm_formula(layer.norm1, f)
    f = f + layer.ffn['fc2'](layer.ffn['fc1'](f).relu())
    f = norm_formula(layer.norm2, f)
    return norm_formula(injector.norms[i], y + f)


def formula(model, images, text, text_mask=None, first_block=0):
    """Write the encoder out with all-token attention, token by token."""
    injector = model.text_injector
    y = injector.adapter(text)
    x = model.patch_embed.proj(images)
    height, width = x.shape[2:]
    tokens = height * width
    positions = F.interpolate(
        model.pos_embed.permute(0, 3, 1, 2),
        (height, width),
        mode='bicubic',
        align_corners=False,
    )
    x = (x + positions).flatten(2).transpose(1, 2)
    out = y
    for i, block in enumerate(model.blocks):
        if i < first_block:
            z = y[:, :0]  # a plain block
        else:
            z = prompt_formula(injector, i - first_block, y, out, x, text_mask)
        s = torch.cat([z, x], dim=1)
        length = z.shape[1]
        n = block.norm1(s)
        q, k, v = (
            t.unflatten(-1, (block.attn.num_heads, -1)).transpose(1, 2)
            for t in block.attn.qkv(n).chunk(3, dim=-1)
        )
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        for size, table, index in (
            (height, block.attn.rel_pos_h, torch.arange(tokens) // width),
            (width, block.attn.rel_pos_w, torch.arange(tokens) % width),
        ):
            resized = F.interpolate(
                table.t()[None], 2 * size - 1, mode='linear'
            )
            resized = resized[0].t()
            offset = index[:, None] - index[None] + size - 1
            bias = torch.einsum(
                'bnqd,qkd->bnqk', q[:, :, length:], resized[offset]
            )
            scores = scores + F.pad(bias, (length, 0, length, 0))
        if text_mask is not None and length:
            hidden = F.pad(~text_mask, (0, tokens))
            scores = scores.masked_fill(hidden[:, None, None], -torch.inf)
        a = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        s = s + block.attn.proj(a)
        s = s + block.mlp(block.norm2(s))
        x = s[:, length:]
        if length:
            out = s[:, :length]
    return model.neck(x.transpose(1, 2).unflatten(2, (height, width)))


@pytest.mark.parametrize('injector', INJECTORS[1:])
@pytest.mark.parametrize(
    ('batch', 'size', 'masked', 'first_block'),
    [
        (2, (32, 32), False, 0),
        (1, (20, 36), True, 0),
        (1, (24, 8), False, 0),
        (2, (24, 8), True, 1),
    ],
)
def test_variant_equals_its_formula(
    injector, batch, size, masked, first_block
):
    model = small(injector, first_block)
    images = torch.randn(batch, 3, *size, dtype=torch.float64)
    text = torch.randn(batch, 5, 12, dtype=torch.float64, requires_grad=True)
    mask = None
    if masked:
        mask = torch.arange(5).expand(batch, 5) < 3
    parameters = [text, *model.parameters()]
    (got,) = model(images, text, mask)
    expected = formula(model, images, text, mask, first_block)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-8)
    weight = torch.randn_like(expected)
    ours, theirs = (
        torch.autograd.grad((out * weight).sum(), parameters)
        for out in (got, expected)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


def test_blocks_before_the_text_are_plain_and_run_once_per_image():
    """With windows they are SAM's, as published."""
    model = small(
        'EndToEndToken', 2, attention='windowed', out_indices=(0, 1, -1)
    )
    plain = small(attention='windowed', out_indices=(0, 1))
    keys = plain.load_state_dict(model.state_dict(), strict=False)
    assert not keys.missing_keys
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    text = torch.randn(3, 5, 12, dtype=torch.float64)
    runs = []
    model.blocks[1].register_forward_hook(lambda _, x, y: runs.append(x[0]))
    owner = torch.tensor([0, 1, 0])
    found = model(images, text, owner=owner)
    assert [len(tokens) for tokens in runs] == [2]
    for maps, expected in zip(found, plain(images), strict=False):
        assert torch.equal(maps, expected[owner])
    one_each = model(images[owner], text)
    torch.testing.assert_close(found, one_each)
    assert found[-1].std(0).min() > 0
    single = model(images[:1], text)
    torch.testing.assert_close(single[-1][::2], found[-1][::2])


def test_masked_text_makes_no_difference():
    model = small('LayerwiseProjection')
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    text = torch.randn(1, 5, 12, dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False, False]])
    (padded,) = model(images, text, mask)
    (short,) = model(images, text[:, :3], mask[:, :3])
    torch.testing.assert_close(padded, short)


def window_attention(block, images, text):
    """Attend within every window on its own, one after the other."""
    attention, size = block.attn, block.attn.window_size
    attention.window_size = 0  # the windows are cut here
    images, text = block.norm1(images), block.norm1(text)
    height, width = images.shape[1:3]
    images = F.pad(images, (0, 0, 0, -width % size, 0, -height % size))
    result, said = torch.zeros_like(images), []
    for top in range(0, images.shape[1], size):
        for left in range(0, images.shape[2], size):
            window = images[:, top : top + size, left : left + size]
            tokens = torch.cat([text, window.flatten(1, 2)], dim=1)
            out = attention(tokens, (size, size))
            text_out, out = out.split([text.shape[1], size * size], dim=1)
            result[:, top : top + size, left : left + size] = out.unflatten(
                1, (size, size)
            )
            said.append(text_out)
    attention.window_size = size
    return result[:, :height, :width], torch.stack(said).mean(0)


@pytest.mark.parametrize('grid', [(6, 6), (8, 5)])
def test_text_joins_every_window(grid):
    block = small(attention='windowed').blocks[0]
    images = torch.randn(2, *grid, 24, dtype=torch.float64)
    text = torch.randn(2, 4, 24, dtype=torch.float64)
    image_update, text_update = window_attention(block, images, text)
    image = images + image_update
    image = image + block.mlp(block.norm2(image))
    said = text + text_update
    said = said + block.mlp(block.norm2(said))
    got, got_text = block(images, text)
    torch.testing.assert_close(got, image)
    torch.testing.assert_close(got_text, said)


def test_saving_the_text_rows_changes_nothing_for_the_image():
    for block in small(attention='windowed').blocks:
        images = torch.randn(2, 6, 6, 24, dtype=torch.float64)
        text = torch.randn(2, 4, 24, dtype=torch.float64)
        whole, _ = block(images, text, update_text=True)
        saved, none = block(images, text, update_text=False)
        assert none is None
        torch.testing.assert_close(whole, saved)


def test_plain_backbone_returns_the_blocks_asked_for():
    model = small(out_indices=(0, -1))
    images = torch.randn(2, 3, 20, 36, dtype=torch.float64)
    first, last = model(images)
    assert first.shape == (2, 24, 5, 9)
    assert last.shape == (2, 10, 5, 9)
    x = model.patch_embed(images)
    positions = F.interpolate(
        model.pos_embed.permute(0, 3, 1, 2), (5, 9), mode='bicubic'
    )
    x, _ = model.blocks[0](x + positions.permute(0, 2, 3, 1))
    torch.testing.assert_close(first, x.permute(0, 3, 1, 2))


def test_no_neck_where_nothing_passes_it():
    assert small(out_indices=(1,)).neck is None


def test_checkpointing_keeps_the_gradients():
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    text = torch.randn(1, 5, 12, dtype=torch.float64)
    gradients = []
    for with_cp in (False, True):
        model = small('EndToEndProjection', with_cp=with_cp).train()
        model.text_injector.eval()  # no dropout
        (out,) = model(images, text)
        out.square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_encoder_trains_its_injector_only():
    model = small('LayerwiseProjection', frozen=True).train()
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trainable and all(n.startswith('text_injector.') for n in trainable)
    assert model.text_injector.training and not model.blocks.training


def test_frozen_encoder_without_text_keeps_no_activations():
    model = small(frozen=True).double().train()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, id):
        model(torch.randn(1, 3, 32, 32, dtype=torch.float64))
    assert not kept


@pytest.mark.parametrize(
    ('kwargs', 'match'),
    [
        (dict(arch='giant'), 'base, large, huge'),
        (dict(arch=dict(embed_dims=8)), 'depth'),
        (dict(arch=dict(embed_dims=9, depth=1, num_heads=2)), 'multiple'),
        (dict(attention='some'), "'windowed'"),
        (dict(out_indices=(12,)), 'out_indices'),
        (dict(out_indices=()), 'out_indices'),
        *(
            (
                dict(
                    text_injector=dict(
                        type='mmdit.LayerwiseProjection', first_block=k
                    ),
                    out_indices=(0, 5),
                ),
                f'first_block .* from 0 to 5, got {k}.*text_injector=None',
            )
            for k in (-1, 6, 1.0)
        ),
    ],
)
def test_bad_arguments_are_named(kwargs, match):
    with (
        torch.device('meta'),
        pytest.raises(ValueError, match=match),
    ):
        MODELS.build(dict(type='mmdit.SAMViT', **kwargs))


def test_input_that_does_not_fit_is_rejected():
    model = small('LayerwiseProjection')
    images = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    with pytest.raises(ValueError, match='needs text'):
        model(images)
    with pytest.raises(ValueError, match='text_dims'):
        model(images, torch.zeros(1, 2, 13).double())
    with pytest.raises(ValueError, match='without text_injector'):
        small()(images, torch.zeros(1, 2, 12).double())


def test_the_patch_embedding_is_sams_convolution():
    torch.manual_seed(0)
    embed = PatchEmbed(3, 8, 4).double()
    images = torch.randn(2, 3, 12, 20, dtype=torch.float64)
    out, expected = embed(images), embed.proj(images).permute(0, 2, 3, 1)
    assert out.is_contiguous()
    torch.testing.assert_close(out, expected, atol=1e-14, rtol=0)
    weight = embed.proj.weight
    (ours,) = torch.autograd.grad(out.square().sum(), weight)
    (theirs,) = torch.autograd.grad(expected.square().sum(), weight)
    torch.testing.assert_close(ours, theirs)
