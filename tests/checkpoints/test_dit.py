import re
import shutil

import pytest
import torch
from mmengine.runner import load_state_dict
from small_checkpoints import TEXT, WIDTH, to_authors
from transformers import BertConfig, BertModel

from mmdit.checkpoints.sources import from_mmdit, to_mmdit
from mmdit.registry import MODELS

VARIANTS = {
    'default': {},
    'E-DIT': dict(type='mmdit.EndToEndProjection'),
    'E-DIT + static': dict(type='mmdit.EndToEndToken'),
    'L-DIT': dict(type='mmdit.LayerwiseProjection'),
    'L-DIT + static': dict(type='mmdit.LayerwiseToken'),
    'cross-attention': dict(type='mmdit.LayerwiseCrossAttention'),
    'cross-attention + FFN': dict(type='mmdit.LayerwiseCrossAttentionFFN'),
}
# A few names of each, as the authors' files have them.
SHARED = 'visual_encoder.probs.2.bias'
NAMES = {
    'default': [
        'text_proj.weight',
        'lang_encoder.bert.embeddings.LayerNorm.bias',
    ],
    'E-DIT': [SHARED],
    'E-DIT + static': ['visual_encoder.probs.weight', 'visual_encoder.tokens'],
    'L-DIT': [SHARED, 'visual_encoder.probs.0.weight'],
    'L-DIT + static': ['visual_encoder.tokens'],
    'cross-attention': [
        SHARED,
        'visual_encoder.cross.1.linear_q.weight',
        'visual_encoder.cross.0.linear_merge.bias',
        'visual_encoder.ln.1.weight',
    ],
    'cross-attention + FFN': [
        'visual_encoder.cross.2.mhatt.linear_v.weight',
        'visual_encoder.cross.0.ffn.mlp.fc.linear.weight',
        'visual_encoder.cross.0.ffn.mlp.linear.bias',
        'visual_encoder.cross.1.norm2.bias',
        'visual_encoder.ln.2.bias',
    ],
}
OLDER = dict(weight='a_2', bias='b_2')
_NORM = re.compile(
    r'^(visual_encoder\.(?:ln\.\d+|cross\.\d+\.norm\d)\.)(weight|bias)$'
)
LEFT_OUT = {
    'query_embeddings': torch.zeros(3),
    'self_attention.linear_q.weight': torch.zeros(3),
    'lang_encoder.bert.pooler.dense.weight': torch.zeros(3),
    'lang_encoder.bert.embeddings.position_ids': torch.arange(3)[None],
}


def variant(config, name, text_dims=TEXT):
    """Config of a variant; with other text widths than the encoder's, as in
    ViT-L and H, there is one more linear layer."""
    injector = VARIANTS[name] or None
    text_encoder = {
        **config['text_encoder'],
        'config': {
            **config['text_encoder']['config'],
            'hidden_size': text_dims,
        },
    }
    backbone = {**config['backbone'], 'text_injector': injector}
    return {**config, 'backbone': backbone, 'text_encoder': text_encoder}


def start_from(config, checkpoint, **options):
    init_cfg = dict(
        type='mmdit.SAMPretrained', checkpoint=str(checkpoint), **options
    )
    model = MODELS.build({**config, 'init_cfg': init_cfg})
    model.init_weights()
    return model


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key


@pytest.mark.parametrize('text_dims', [TEXT, WIDTH])
@pytest.mark.parametrize('name', VARIANTS)
def test_every_variant_loads_completely(
    config, random_model, tmp_path, name, text_dims
):
    config = variant(config, name, text_dims)
    expected = random_model(config).state_dict()
    theirs = to_authors(expected)
    assert set(NAMES[name]) <= theirs.keys()
    has_adapter = VARIANTS[name] and text_dims != WIDTH
    assert bool(has_adapter) == ('visual_encoder.prob_text.bias' in theirs)
    wrapped = {f'module.{k}': v for k, v in {**theirs, **LEFT_OUT}.items()}
    torch.save(dict(state_dict=wrapped, epoch=3), tmp_path / 'det_best.pth')
    model = start_from(config, tmp_path / 'det_best.pth')
    assert_same(model.state_dict(), expected)


@pytest.mark.parametrize('name', VARIANTS)
def test_the_way_there_and_back_is_exact(config, random_model, name):
    ours = random_model(variant(config, name)).state_dict()
    theirs = to_authors(ours)
    back = from_mmdit(ours, 'dit')
    assert not back.dropped
    assert_same({k: back.state_dict[k] for k in theirs}, theirs)
    source, renamed = to_mmdit(theirs)
    assert source == 'dit'
    assert_same(renamed.state_dict, ours)


@pytest.mark.parametrize('name', VARIANTS)
def test_load_from_takes_these_names(config, random_model, name, said):
    config = variant(config, name)
    expected = random_model(config).state_dict()
    model = random_model(config, seed=6)
    load_state_dict(model, {**to_authors(expected), **LEFT_OUT})
    assert_same(model.state_dict(), expected)
    assert 'query_embeddings' in said[0]


def test_what_is_left_out_is_named_with_its_reason(config, random_model):
    theirs = to_authors(random_model(variant(config, 'L-DIT')).state_dict())
    renamed = to_mmdit({**theirs, **LEFT_OUT})[1]
    lines = '\n'.join(renamed.describe_dropped())
    for part in ('query_embeddings', 'self_attention.', 'pooler.'):
        assert f'{part} (1 tensor): ' in lines
    assert "never read by the authors' forward pass" in lines
    assert 'position_ids' in lines


@pytest.mark.parametrize('name', ['cross-attention', 'cross-attention + FFN'])
def test_norms_have_two_spellings(config, random_model, name):
    ours = random_model(variant(config, name)).state_dict()
    theirs = {
        _NORM.sub(lambda m: m[1] + OLDER[m[2]], key): value
        for key, value in to_authors(ours).items()
    }
    assert any(key.endswith('.a_2') for key in theirs)
    assert_same(to_mmdit(theirs)[1].state_dict, ours)


def test_layers_above_the_text_are_left_out(config, random_model, said):
    """As the release reads it: the output of BERT's first layer."""
    deep = variant(config, 'L-DIT')
    deep['text_encoder']['config'] |= dict(num_hidden_layers=3)
    theirs = to_authors(random_model(deep).state_dict())
    first = {**deep, 'text_encoder': {**deep['text_encoder'], 'num_layers': 1}}
    model = random_model(first, seed=6)
    load_state_dict(model, theirs)
    assert_same(
        {
            f'lang_encoder.{k}': v
            for k, v in model.text_encoder.state_dict().items()
        },
        {
            k: v
            for k, v in theirs.items()
            if k.startswith('lang_encoder.')
            and '.layer.1.' not in k
            and '.layer.2.' not in k
        },
    )
    assert 'BERT layers 2 and up' in said[0]


def test_old_names_of_berts_norms_are_known(config, random_model):
    ours = random_model(variant(config, 'L-DIT')).state_dict()
    theirs = {}
    for key, value in to_authors(ours).items():
        key = key.replace('LayerNorm.weight', 'LayerNorm.gamma')
        theirs[key.replace('LayerNorm.bias', 'LayerNorm.beta')] = value
    assert sum(key.endswith('.gamma') for key in theirs) == 3
    assert_same(to_mmdit(theirs)[1].state_dict, ours)


def test_more_decoder_layers_load_and_return(config, random_model):
    config['decode_head']['num_layers'] = 4
    ours = random_model(variant(config, 'L-DIT')).state_dict()
    assert_same(to_mmdit(to_authors(ours))[1].state_dict, ours)


def test_a_trained_bert_is_not_read_again(config, random_model, tmp_path):
    """The text encoder's own init_weights comes later and must not undo it."""
    config = variant(config, 'L-DIT')
    expected = random_model(config).state_dict()
    torch.save(to_authors(expected), tmp_path / 'dit.pth')
    folder = tmp_path / 'bert'
    bert = BertModel(
        BertConfig(vocab_size=6, **config['text_encoder'].pop('config'))
    )
    bert.save_pretrained(folder)
    vocab = config['text_encoder'].pop('vocab_file')
    shutil.copy(vocab, folder / 'vocab.txt')
    config['text_encoder']['pretrained'] = str(folder)
    model = start_from(config, tmp_path / 'dit.pth')
    assert_same(model.state_dict(), expected)


@pytest.mark.parametrize(
    'key',
    [
        'text_proj.bias',
        'lang_encoder.bert.embeddings.word_embeddings.weight',
        'visual_encoder.probs.1.weight',
        'mask_decoder.transformer.layers.1.norm1.weight',
    ],
)
def test_a_missing_key_fails_by_name(config, random_model, tmp_path, key):
    config = variant(config, 'L-DIT')
    theirs = to_authors(random_model(config).state_dict())
    del theirs[key]
    torch.save(theirs, tmp_path / 'short.pth')
    last = key.split('.', 1)[1]
    last = last.replace('probs', 'projections')
    with pytest.raises(ValueError, match=f'missing: .*{last}'):
        start_from(config, tmp_path / 'short.pth')


@pytest.mark.parametrize(
    'key',
    [
        'visual_encoder.extra.weight',
        'visual_encoder.cross.0.linear_x.weight',
        'lang_encoder.lstm.weight',
    ],
)
def test_an_unknown_key_fails_by_name(config, random_model, key):
    theirs = to_authors(random_model(config).state_dict())
    with pytest.raises(KeyError, match=f'unknown key .{key}'):
        to_mmdit({**theirs, key: torch.zeros(1)})


def test_another_variant_is_rejected(config, random_model, tmp_path):
    theirs = to_authors(random_model(variant(config, 'L-DIT')).state_dict())
    torch.save(theirs, tmp_path / 'ldit.pth')
    with pytest.raises(ValueError, match='missing: .*text_injector.offsets'):
        start_from(variant(config, 'L-DIT + static'), tmp_path / 'ldit.pth')
    with pytest.raises(ValueError, match='unknown: .*text_injector'):
        start_from(config, tmp_path / 'ldit.pth')
