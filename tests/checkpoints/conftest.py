"""Small models whose checkpoints the tests write."""

import pytest
import torch
from mmengine.runner import CheckpointLoader
from small_checkpoints import (
    DECODER,
    DEPTH,
    TEXT,
    WIDTH,
    disturb,
    make_hf_sam,
    make_sam,
)

from mmdit.engine.loading import use_safe_loading
from mmdit.registry import MODELS


@pytest.fixture
def sam():
    return make_sam()


@pytest.fixture
def hf_sam():
    return make_hf_sam()


@pytest.fixture
def config(tmp_path):
    """Config of a small segmentor that ``make_sam`` fits."""
    vocab = tmp_path / 'vocab.txt'
    vocab.write_text('[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\n')
    return dict(
        type='mmdit.ReferringSegmentor',
        text_encoder=dict(
            type='mmdit.BertTextEncoder',
            config=dict(
                hidden_size=TEXT,
                num_hidden_layers=1,
                num_attention_heads=1,
                intermediate_size=8,
                max_position_embeddings=20,
            ),
            vocab_file=str(vocab),
        ),
        backbone=dict(
            type='mmdit.SAMViT',
            arch=dict(
                embed_dims=WIDTH,
                depth=DEPTH,
                num_heads=2,
                global_attn_indexes=(1,),
            ),
            img_size=256,
            attention='windowed',
            out_channels=DECODER,
        ),
        decode_head=dict(
            type='mmdit.SAMMaskHead',
            embed_dims=DECODER,
            num_heads=2,
            mlp_dims=48,
        ),
    )


@pytest.fixture
def ldit(config):
    """The same with L-DIT's injector."""
    injector = dict(type='mmdit.LayerwiseProjection')
    return {
        **config,
        'backbone': {**config['backbone'], 'text_injector': injector},
    }


@pytest.fixture
def textless(config):
    """The same without text, for points and boxes."""
    return {**config, 'text_encoder': None}


@pytest.fixture
def safe(monkeypatch):
    """Load as the tools do; MMEngine's loaders are back afterwards."""
    before = dict(CheckpointLoader._schemes)
    monkeypatch.setattr(CheckpointLoader, '_schemes', before)
    use_safe_loading()


@pytest.fixture
def said(monkeypatch):
    """Collect what loading logs."""
    lines = []

    def listen(message, **_):
        lines.append(message)

    for module in ('models.pretrained', 'checkpoints.strict'):
        monkeypatch.setattr(f'mmdit.{module}.print_log', listen)
    return lines


@pytest.fixture
def random_model():
    """Build a model in which no two parameters have the same values."""

    def build(config, seed=5):
        torch.manual_seed(seed)
        model = MODELS.build(config).eval()
        disturb(model)
        return model

    return build
