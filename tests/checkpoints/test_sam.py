import re
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry
from serving import serve
from small_checkpoints import make_sam
from transformers import BertConfig

from mmdit.checkpoints.sources import find_source, from_mmdit, to_mmdit
from mmdit.models.pretrained import ADDED_PREFIXES
from mmdit.registry import MODELS


@pytest.fixture
def checkpoint(tmp_path, sam):
    """A file as Meta publishes them: a bare state dict."""
    path = tmp_path / 'sam_vit_x.pth'
    torch.save(sam.state_dict(), path)
    return str(path)


def start_from(config, checkpoint, **options):
    init_cfg = dict(
        type='mmdit.SAMPretrained', checkpoint=str(checkpoint), **options
    )
    return MODELS.build({**config, 'init_cfg': init_cfg})


def test_every_weight_finds_its_place(ldit, checkpoint, sam):
    model = start_from(ldit, checkpoint)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.init_weights()
    expected = to_mmdit(sam.state_dict())[1].state_dict
    for key, value in model.state_dict().items():
        if key in expected:
            assert torch.equal(value, expected[key])
        else:
            assert key.startswith(ADDED_PREFIXES)
            assert torch.equal(value, before[key])


def test_the_encoder_gives_metas_features(config, checkpoint, sam):
    model = start_from(config, checkpoint).eval()
    model.init_weights()
    image = torch.randn(1, 3, 256, 256).double()
    with torch.no_grad():
        ours = model.double().backbone(image)[0]
        theirs = sam.double().image_encoder(image)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_a_model_without_text_is_filled_completely(textless, checkpoint):
    model = start_from(textless, checkpoint)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.init_weights()
    same = [k for k, v in model.state_dict().items() if before[k].equal(v)]
    assert same == []


def test_a_model_with_text_starts_from_one_trained_without(
    textless, ldit, random_model, tmp_path, said
):
    """Mmdit's own file, as training with points and boxes writes it."""
    weights = random_model(textless).state_dict()
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'points.pth')
    model = start_from(ldit, tmp_path / 'points.pth')
    model.init_weights()
    found = model.state_dict()
    assert all(torch.equal(found[key], weights[key]) for key in weights)
    assert 'backbone.text_injector. starts from its own' in said[0]
    del weights['decode_head.mask_decoder.mask_tokens.weight']
    torch.save(weights, tmp_path / 'short.pth')
    with pytest.raises(ValueError, match='missing: .*mask_tokens'):
        start_from(ldit, tmp_path / 'short.pth').init_weights()


def test_a_file_with_text_must_hold_all_of_it(ldit, random_model, tmp_path):
    weights = random_model(ldit).state_dict()
    del weights['decode_head.text_proj.bias']
    torch.save(weights, tmp_path / 'trained.pth')
    with pytest.raises(ValueError, match=r'missing: .*text_proj\.bias'):
        start_from(ldit, tmp_path / 'trained.pth').init_weights()


def test_text_has_no_place_in_a_model_without(
    textless, ldit, random_model, tmp_path
):
    torch.save(random_model(ldit).state_dict(), tmp_path / 'trained.pth')
    with pytest.raises(ValueError, match='mmdit convert') as error:
        start_from(textless, tmp_path / 'trained.pth').init_weights()
    assert 'text_encoder.bert' in str(error.value)


def test_decoder_layers_beyond_sams_keep_their_start(ldit, checkpoint, said):
    ldit['decode_head']['num_layers'] = 4
    model = start_from(ldit, checkpoint)
    extra = 'decode_head.mask_decoder.transformer.layers.3.mlp.lin1.weight'
    before = model.state_dict()[extra].clone()
    model.init_weights()
    assert torch.equal(model.state_dict()[extra], before)
    for part in ('layers.2.', 'layers.3.', 'text_encoder.', 'text_proj.'):
        assert f'{part} starts from its own' in said[0]


@pytest.mark.parametrize('arch', ['vit_b', 'vit_l', 'vit_h'])
def test_keys_and_shapes_of_the_published_sizes_match(arch):
    names = dict(vit_b='base', vit_l='large', vit_h='huge')
    with torch.device('meta'):
        theirs = sam_model_registry[arch]().state_dict()
        backbone = MODELS.build(
            dict(type='mmdit.SAMViT', arch=names[arch])
        ).state_dict()
        head = MODELS.build(dict(type='mmdit.SAMMaskHead')).state_dict()
    ours = {f'backbone.{k}': v for k, v in backbone.items()}
    ours |= {f'decode_head.{k}': v for k, v in head.items()}
    source, renamed = to_mmdit(theirs)
    assert source == 'sam' and not renamed.dropped
    assert {k: v.shape for k, v in renamed.state_dict.items()} == {
        k: v.shape
        for k, v in ours.items()
        if not k.startswith('decode_head.text_proj.')
    }
    back = from_mmdit(ours, 'sam')
    assert {k: v.shape for k, v in back.state_dict.items()} == {
        k: v.shape for k, v in theirs.items()
    }


def test_the_way_there_and_back_is_exact(sam):
    theirs = sam.state_dict()
    back = from_mmdit(to_mmdit(theirs)[1].state_dict, 'sam')
    assert list(back.state_dict) == list(theirs) and not back.dropped
    assert all(torch.equal(back.state_dict[k], theirs[k]) for k in theirs)


def test_text_is_left_out_by_name_on_the_way_to_sam(ldit, random_model):
    ours = random_model(ldit).state_dict()
    back = from_mmdit(ours, 'sam')
    assert {prefix for prefix, _ in back.dropped} == {
        'text_encoder.',
        'backbone.text_injector.',
        'decode_head.text_proj.',
    }
    assert len(ours) == len(back.state_dict) + sum(back.dropped.values())
    make_sam().load_state_dict(back.state_dict)


def test_a_checkpoint_of_another_size_is_rejected(config, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(make_sam(depth=4, width=24).state_dict(), path)
    with pytest.raises(ValueError) as error:
        start_from(config, path).init_weights()
    message = str(error.value)
    assert 'backbone.blocks.3' in message and 'other.pth' in message
    assert '(1, 16, 16, 24), expected (1, 16, 16, 16)' in message
    assert 'arch' in message


@pytest.mark.parametrize(
    'key',
    [
        'mask_decoder.iou_token.weight',
        'mask_decoder.transformer.layers.1.norm1.weight',
    ],
)
def test_a_missing_key_fails_by_name(config, sam, tmp_path, key):
    weights = sam.state_dict()
    del weights[key]
    torch.save(weights, tmp_path / 'short.pth')
    with pytest.raises(ValueError, match=f'missing: .*{key}'):
        start_from(config, tmp_path / 'short.pth').init_weights()


@pytest.mark.parametrize(
    'key', ['mask_decoder.hf_token.weight', 'image_encoder.trunk.bias', 'new']
)
def test_an_unknown_key_fails_by_name(config, sam, tmp_path, key):
    weights = sam.state_dict() | {key: torch.zeros(1)}
    torch.save(weights, tmp_path / 'more.pth')
    with pytest.raises(KeyError, match=f"unknown key '{key}'"):
        start_from(config, tmp_path / 'more.pth').init_weights()


def test_an_unknown_kind_of_file_lists_the_known_ones(config, tmp_path):
    torch.save({'layer.weight': torch.zeros(1)}, tmp_path / 'resnet.pth')
    with pytest.raises(KeyError, match='hf-sam') as error:
        start_from(config, tmp_path / 'resnet.pth').init_weights()
    for part in ('layer.weight', "'dit'", "'mmdit'", 'visual_encoder.*'):
        assert part in str(error.value)
    with pytest.raises(ValueError, match='image_encoder'):
        start_from(
            config, tmp_path / 'resnet.pth', source='meta'
        ).init_weights()


def test_a_missing_file_says_where_to_get_it(config):
    model = start_from(config, '/nowhere/sam_vit_b_01ec64.pth')
    with pytest.raises(FileNotFoundError, match='/nowhere/sam_vit_b'):
        model.init_weights()


def test_a_file_that_would_run_code_is_rejected(config, tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save(dict(weights=BertConfig()), path)
    with pytest.raises(ValueError, match=r'evil\.pth.*BertConfig'):
        start_from(config, path).init_weights()


def test_weights_come_from_a_url_too(
    config, checkpoint, sam, monkeypatch, tmp_path
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    folder = str(Path(checkpoint).parent)
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with serve(handler) as url:
        model = start_from(config, f'{url}/{Path(checkpoint).name}')
        model.init_weights()
    expected = sam.image_encoder.pos_embed
    assert torch.equal(model.backbone.pos_embed, expected)


# As MMPreTrain's ViTSAM names them.
TO_MMPRETRAIN = (
    (r'^image_encoder\.', 'backbone.'),
    (r'\.patch_embed\.proj\.', '.patch_embed.projection.'),
    (r'\.blocks\.(\d+)\.norm(\d)\.', r'.layers.\1.ln\2.'),
    (r'\.blocks\.(\d+)\.mlp\.lin1\.', r'.layers.\1.ffn.layers.0.0.'),
    (r'\.blocks\.(\d+)\.mlp\.lin2\.', r'.layers.\1.ffn.layers.1.'),
    (r'\.blocks\.', '.layers.'),
    (r'\.neck\.', '.channel_reduction.'),
)


def to_mmpretrain(state_dict):
    """Rename the keys of SAM's image encoder."""
    renamed = {'head.fc.weight': torch.zeros(2, 2)}
    for key, value in state_dict.items():
        if key.startswith('image_encoder.'):
            for pattern, new in TO_MMPRETRAIN:
                key = re.sub(pattern, new, key)
            renamed[key] = value
    return renamed


def test_an_encoder_of_mmpretrain_fills_the_encoder(sam, ldit, tmp_path, said):
    theirs = to_mmpretrain(sam.state_dict())
    torch.save(dict(state_dict=theirs), tmp_path / 'vit_sam.pth')
    init_cfg = dict(
        type='mmdit.SAMPretrained', checkpoint=str(tmp_path / 'vit_sam.pth')
    )
    model = MODELS.build({**ldit, 'init_cfg': init_cfg})
    model.init_weights()
    filled = model.backbone.state_dict()
    for key, value in sam.image_encoder.state_dict().items():
        assert torch.equal(filled[key], value), key
    assert "MMPreTrain's ViTSAM" in said[0]
    assert 'decode_head. starts from its own' in said[0]
    back = from_mmdit(model.state_dict(), 'mmpretrain').state_dict
    assert back.keys() == theirs.keys() - {'head.fc.weight'}


def test_a_segmentor_with_that_encoder_is_still_ours():
    keys = ['backbone.layers.0.ln1.weight', 'decode_head.mask_decoder.iou']
    assert find_source(keys) == 'mmdit'
