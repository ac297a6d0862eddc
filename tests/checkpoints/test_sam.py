import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from transformers import BertConfig

from mmdit.checkpoints.sam import ADDED_PREFIXES, rename_sam
from mmdit.registry import MODELS


def small_sam(depth=2, width=16):
    """Make a SAM of ``segment_anything``'s own classes, random weights."""
    torch.manual_seed(3)
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=256,
            embed_dim=width,
            depth=depth,
            num_heads=2,
            out_chans=32,
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=PromptEncoder(32, (16, 16), (256, 256), 16),
        mask_decoder=MaskDecoder(
            transformer_dim=32,
            transformer=TwoWayTransformer(2, 32, 2, 48),
            iou_head_hidden_dim=32,
        ),
    )


@pytest.fixture
def checkpoint(tmp_path):
    """A file as Meta publishes them: a bare state dict."""
    path = tmp_path / 'sam_vit_x.pth'
    torch.save(small_sam().state_dict(), path)
    return str(path)


@pytest.fixture
def config(tmp_path, checkpoint):
    vocab = tmp_path / 'vocab.txt'
    vocab.write_text('[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\n')
    return dict(
        type='mmdit.ReferringSegmentor',
        text_encoder=dict(
            type='mmdit.BertTextEncoder',
            config=dict(
                hidden_size=8,
                num_hidden_layers=1,
                num_attention_heads=1,
                intermediate_size=8,
                max_position_embeddings=20,
            ),
            vocab_file=str(vocab),
        ),
        backbone=dict(
            type='mmdit.SAMViT',
            arch=dict(embed_dims=16, depth=2, num_heads=2, global_blocks=(1,)),
            pretrain_size=256,
            out_channels=32,
            text_injector=dict(type='mmdit.LayerwiseProjection'),
        ),
        decode_head=dict(
            type='mmdit.SAMMaskHead', embed_dims=32, num_heads=2, mlp_dims=48
        ),
        init_cfg=dict(type='mmdit.SAMPretrained', checkpoint=checkpoint),
    )


def test_every_weight_finds_its_place(config):
    model = MODELS.build(config)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.init_weights()
    expected = rename_sam(small_sam().state_dict())
    for key, value in model.state_dict().items():
        if key in expected:
            assert torch.equal(value, expected[key])
        else:
            assert key.startswith(ADDED_PREFIXES)
            assert torch.equal(value, before[key])


def test_decoder_layers_beyond_sams_keep_their_start(config):
    config['decode_head']['num_layers'] = 4
    model = MODELS.build(config)
    extra = 'decode_head.mask_decoder.transformer.layers.3.norm1.weight'
    model.init_weights()
    assert extra in model.state_dict()


@pytest.mark.parametrize('arch', ['vit_b', 'vit_l', 'vit_h'])
def test_keys_and_shapes_of_the_published_sizes_match(arch):
    names = dict(vit_b='base', vit_l='large', vit_h='huge')
    with torch.device('meta'):
        theirs = sam_model_registry[arch]()
        backbone = MODELS.build(
            dict(type='mmdit.SAMViT', arch=names[arch])
        ).state_dict()
        head = MODELS.build(dict(type='mmdit.SAMMaskHead')).state_dict()
    ours = {f'backbone.{k}': v for k, v in backbone.items()}
    ours |= {f'decode_head.{k}': v for k, v in head.items()}
    renamed = rename_sam(theirs.state_dict())
    assert {k: v.shape for k, v in renamed.items()} == {
        k: v.shape
        for k, v in ours.items()
        if not k.startswith('decode_head.text_proj.')
    }


def test_a_checkpoint_of_another_size_is_refused(config, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(small_sam(depth=3, width=24).state_dict(), path)
    config['init_cfg']['checkpoint'] = str(path)
    with pytest.raises(ValueError) as error:
        MODELS.build(config).init_weights()
    message = str(error.value)
    assert 'backbone.blocks.2' in message and 'other.pth' in message
    assert '(1, 16, 16, 24), expected (1, 16, 16, 16)' in message
    assert 'arch' in message


def test_missing_and_unknown_keys_fail_by_name(config, tmp_path):
    weights = small_sam().state_dict()
    del weights['mask_decoder.iou_token.weight']
    path = tmp_path / 'short.pth'
    torch.save(weights, path)
    config['init_cfg']['checkpoint'] = str(path)
    with pytest.raises(ValueError, match='missing: .*iou_token'):
        MODELS.build(config).init_weights()
    torch.save({'layer.weight': torch.zeros(1)}, path)
    with pytest.raises(KeyError, match=r'layer\.weight'):
        MODELS.build(config).init_weights()


def test_a_missing_file_says_where_to_get_it(config):
    config['init_cfg']['checkpoint'] = '/nowhere/sam_vit_b_01ec64.pth'
    with pytest.raises(FileNotFoundError, match='/nowhere/sam_vit_b'):
        MODELS.build(config).init_weights()


def test_a_file_that_would_run_code_is_refused(config, tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save(dict(weights=BertConfig()), path)
    config['init_cfg']['checkpoint'] = str(path)
    with pytest.raises(Exception, match='(?i)weights.only'):
        MODELS.build(config).init_weights()


def test_weights_come_from_a_url_too(
    config, checkpoint, monkeypatch, tmp_path
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    folder = str(Path(checkpoint).parent)
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        name = Path(checkpoint).name
        url = f'http://127.0.0.1:{server.server_port}/{name}'
        config['init_cfg']['checkpoint'] = url
        model = MODELS.build(config)
        model.init_weights()
        server.shutdown()
    expected = small_sam().image_encoder.pos_embed
    assert torch.equal(model.backbone.pos_embed, expected)
