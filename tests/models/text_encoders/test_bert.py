import logging
import os
import shutil

import pytest
import torch
from transformers import BertModel, BertTokenizerFast

from mmdit.registry import MODELS


def build(**kwargs):
    return MODELS.build(dict(type='mmdit.BertTextEncoder', **kwargs)).eval()


def loaded(bert_dir, **kwargs):
    encoder = build(pretrained=bert_dir, max_tokens=10, **kwargs)
    encoder.init_weights()
    return encoder


@torch.no_grad()
def test_output_equals_transformers_bert(bert_dir):
    expressions = ['the red circle', 'Big blue square left of a circle']
    text, mask = loaded(bert_dir)(expressions)
    tokenizer = BertTokenizerFast.from_pretrained(bert_dir)
    batch = tokenizer(
        expressions, padding='max_length', max_length=10, return_tensors='pt'
    )
    expected = BertModel.from_pretrained(bert_dir).eval()(**batch)
    torch.testing.assert_close(text, expected.last_hidden_state)
    assert mask is None


def test_mask_marks_the_real_tokens(bert_dir):
    _, mask = loaded(bert_dir, mask_padding=True)(['red', 'the red circle'])
    assert mask.sum(1).tolist() == [3, 5]
    assert mask.dtype == torch.bool


def test_words_outside_the_vocabulary_are_split_into_pieces(bert_dir):
    encoder = loaded(bert_dir)
    ids, _ = encoder.tokenize(['unknown'])
    pieces = encoder.tokenizer.convert_ids_to_tokens(ids[0].tolist())
    assert pieces[:5] == ['[CLS]', 'un', '##kn', '##own', '[SEP]']


def test_long_text_is_cut_and_said_once(bert_dir, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('mmengine'), 'propagate', True)
    said = []
    monkeypatch.setattr(
        'mmdit.models.text_encoders.hf.print_log',
        lambda message, **_: said.append(message),
    )
    encoder = loaded(bert_dir)
    long = 'the red circle ' * 5
    ids, mask = encoder.tokenize([long, 'red'])
    encoder.tokenize([long])
    assert ids.shape == (2, 10) and mask[0].all()
    assert ids[0, -1] == encoder.tokenizer.sep_token_id
    assert len(said) == 1
    assert long in said[0] and '17' in said[0] and 'max_tokens' in said[0]


def test_init_weights_reads_the_directory_and_only_that(bert_dir):
    encoder = build(pretrained=bert_dir, max_tokens=10)
    expected = BertModel.from_pretrained(bert_dir).state_dict()
    key = 'embeddings.word_embeddings.weight'
    assert not torch.equal(encoder.bert.state_dict()[key], expected[key])
    encoder.init_weights()
    for name, value in encoder.bert.state_dict().items():
        assert torch.equal(value, expected[name])


def test_the_runner_does_not_reinitialize_a_loaded_bert(
    bert_dir, tiny_segmentor
):
    """MMEngine calls init_weights of children; transformers has one too."""
    tiny_segmentor['text_encoder'] = dict(
        type='mmdit.BertTextEncoder', pretrained=bert_dir, max_tokens=8
    )
    model = MODELS.build(tiny_segmentor)
    model.init_weights()
    expected = BertModel.from_pretrained(bert_dir).state_dict()
    for name, value in model.text_encoder.bert.state_dict().items():
        assert torch.equal(value, expected[name])


def test_weights_that_lack_a_layer_are_rejected(bert_dir, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = tmp_path / 'bert'
    shutil.copytree(bert_dir, copy)
    weights = load_file(copy / 'model.safetensors')
    gone = 'encoder.layer.1.output.dense.weight'
    del weights[gone]
    save_file(weights, copy / 'model.safetensors', metadata={'format': 'pt'})
    encoder = build(pretrained=str(copy), max_tokens=10)
    with pytest.raises(ValueError, match=gone):
        encoder.init_weights()


class Untrusted:
    """What runs a command where it is unpickled."""

    def __reduce__(self):
        return os.system, ('exit 1',)


@pytest.mark.parametrize(
    ('write', 'message'),
    [
        (lambda path: path.write_bytes(b'<html>'), 'is a web page'),
        (
            lambda path: path.write_bytes(
                b'version https://git-lfs.github.com/spec/v1'
            ),
            'pointer of git-LFS',
        ),
        (lambda path: torch.save(dict(a=Untrusted()), path), 'posix.system'),
        (lambda path: path.write_bytes(b'PK'), 'cannot be read'),
        (lambda path: path.unlink(missing_ok=True), 'no model.safetensors'),
    ],
)
def test_bad_weights_are_named_in_words_of_our_own(
    bert_dir, tmp_path, write, message
):
    copy = tmp_path / 'bert'
    shutil.copytree(bert_dir, copy)
    (copy / 'model.safetensors').unlink()
    write(copy / 'pytorch_model.bin')
    encoder = build(pretrained=str(copy), max_tokens=10)
    with pytest.raises((OSError, ValueError), match=message) as error:
        encoder.init_weights()
    assert 'likely succeed' not in str(error.value)


def test_frozen_bert_neither_trains_nor_drops_out(bert_dir):
    encoder = loaded(bert_dir, frozen=True).train()
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not any(m.training for m in encoder.bert.modules())


@pytest.mark.parametrize(
    ('kwargs', 'match'),
    [
        (dict(), 'either pretrained'),
        (dict(pretrained='x', config={}), 'either pretrained'),
        (dict(config={}), 'vocab_file'),
        (dict(config={}, vocab_file='/nowhere/vocab.txt'), '/nowhere/vocab'),
    ],
)
def test_bad_arguments_are_named(kwargs, match):
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        build(**kwargs)


def test_a_missing_model_says_where_to_get_it(monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(OSError, match='--text-encoder DIR in the shell, pret'):
        build(pretrained='/nowhere/bert')


def test_more_tokens_than_positions_are_rejected(bert_dir):
    with pytest.raises(ValueError, match='max_position_embeddings'):
        build(pretrained=bert_dir, max_tokens=25)


@pytest.mark.parametrize('expression', ['', '  \t'])
def test_empty_expressions_are_rejected(bert_dir, expression):
    with pytest.raises(ValueError, match='empty'):
        loaded(bert_dir)(['red', expression])


def test_no_expression_is_a_sentence_without_words(bert_dir):
    encoder = loaded(bert_dir)
    ids, mask = encoder.tokenize([None, 'red'])
    tokens = encoder.tokenizer.convert_ids_to_tokens(ids[0][mask[0]])
    assert tokens == ['[CLS]', '[SEP]']


@torch.no_grad()
@pytest.mark.parametrize('num_layers', [1, 2])
def test_any_layer_can_be_the_text(bert_dir, num_layers):
    encoder = loaded(bert_dir, num_layers=num_layers)
    assert len(encoder.bert.encoder.layer) == num_layers
    text, _ = encoder(['the red circle'])
    batch = BertTokenizerFast.from_pretrained(bert_dir)(
        'the red circle',
        padding='max_length',
        max_length=10,
        return_tensors='pt',
    )
    bert = BertModel.from_pretrained(bert_dir).eval()
    hidden = bert(**batch, output_hidden_states=True).hidden_states
    torch.testing.assert_close(text, hidden[num_layers])


@pytest.mark.parametrize('num_layers', [0, 3])
def test_a_layer_that_bert_has_not_is_named(bert_dir, num_layers):
    with pytest.raises(ValueError, match=f'num_layers={num_layers} .*1 to 2'):
        build(pretrained=bert_dir, num_layers=num_layers)
