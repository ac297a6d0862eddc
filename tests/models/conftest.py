"""Small models that several tests build."""

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

WORDS = 'the a red blue big small circle square left right of on un ##kn ##own'
TINY_BERT = dict(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=24,
)


@pytest.fixture(scope='session')
def vocab_file(tmp_path_factory):
    """A WordPiece vocabulary of a few words."""
    path = tmp_path_factory.mktemp('vocab') / 'vocab.txt'
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    path.write_text('\n'.join([*special, *WORDS.split()]) + '\n')
    return str(path)


@pytest.fixture(scope='session')
def bert_dir(tmp_path_factory, vocab_file):
    """A BERT directory as ``transformers`` writes it, random weights."""
    path = tmp_path_factory.mktemp('bert')
    tokenizer = BertTokenizerFast(vocab_file)
    torch.manual_seed(7)
    model = BertModel(BertConfig(vocab_size=len(tokenizer), **TINY_BERT))
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture
def tiny_segmentor(vocab_file):
    """Config of a segmentor of a few thousand parameters, 32 px images."""
    return dict(
        type='mmdit.ReferringSegmentor',
        data_preprocessor=dict(
            type='mmdit.ReferDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            size=(32, 32),
        ),
        text_encoder=dict(
            type='mmdit.BertTextEncoder',
            config=dict(
                **TINY_BERT,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            ),
            vocab_file=vocab_file,
            max_tokens=8,
        ),
        backbone=dict(
            type='mmdit.SAMViT',
            arch=dict(embed_dims=16, depth=3, num_heads=2),
            patch_size=8,
            pretrain_size=64,
            window_size=0,
            out_channels=32,
            text_injector=dict(type='mmdit.LayerwiseProjection'),
        ),
        decode_head=dict(
            type='mmdit.SAMMaskHead', embed_dims=32, num_heads=2, mlp_dims=32
        ),
    )
