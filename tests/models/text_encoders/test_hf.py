"""Encoders of several families, each beside what transformers computes."""

import json
import shutil

import pytest
import torch
from small_encoders import FAMILIES
from transformers import AutoModel, AutoTokenizer

from mmdit.models.text_encoders import BertTextEncoder, HFTextEncoder
from mmdit.registry import MODELS

EXPRESSIONS = ['the red circle on the left', '左边的红色圆圈', 'the zebra']


def loaded(folder, kind='HFTextEncoder', **kwargs):
    options = dict(type=f'mmdit.{kind}', pretrained=folder, max_tokens=20)
    encoder = MODELS.build(options | kwargs).eval()
    encoder.init_weights()
    return encoder


def read_alone(folder, num_layers):
    """Return transformers' own tokens (B, 20, D) and mask (B, 20)."""
    batch = AutoTokenizer.from_pretrained(folder)(
        *(EXPRESSIONS, None),
        **dict(padding='max_length', truncation=True, max_length=20),
        return_tensors='pt',
    )
    model = AutoModel.from_pretrained(folder).eval()
    model = getattr(model, 'text_model', model)
    given = {k: batch[k] for k in ('input_ids', 'attention_mask')}
    out = model(**given, output_hidden_states=True)
    text, real = out.last_hidden_state, batch['attention_mask'].bool()
    if num_layers < model.config.num_hidden_layers:
        text = out.hidden_states[num_layers]
        for norm in ('final_norm', 'final_layer_norm'):
            text = getattr(model, norm, torch.nn.Identity())(text)
    return text, real


@torch.no_grad()
@pytest.mark.parametrize('num_layers', [2, 3])
@pytest.mark.parametrize('family', FAMILIES)
def test_any_layer_of_any_family_is_that_of_transformers(
    small_encoder, family, num_layers
):
    folder = small_encoder(family)
    encoder = loaded(folder, num_layers=num_layers, mask_padding=True)
    text, mask = encoder(EXPRESSIONS)
    expected, real = read_alone(folder, num_layers)
    assert torch.equal(mask, real)
    torch.testing.assert_close(text[mask], expected[mask])
    whole = loaded(folder)
    fewer = {*whole.state_dict()} - {*encoder.state_dict()}
    assert bool(fewer) == (num_layers == 2)
    assert encoder.embed_dims == text.shape[-1] == 24


@torch.no_grad()
def test_chinese_words_are_read_one_by_one(small_encoder):
    encoder = loaded(small_encoder('xlm-roberta'), mask_padding=True)
    ids, mask = encoder.tokenize(['左边的红色圆圈'])
    words = encoder.tokenizer.convert_ids_to_tokens(ids[mask].tolist())
    assert '<unk>' not in words and len(words) > 4
    text, _ = encoder(['左边的红色圆圈', '右边的红色圆圈'])
    assert (text[0] - text[1]).abs().max() > 0.01


@torch.no_grad()
def test_bert_is_the_same_by_either_name(bert_dir):
    own, other = (
        loaded(bert_dir, kind) for kind in ('BertTextEncoder', 'HFTextEncoder')
    )
    assert torch.equal(own(['the red'])[0], other(['the red'])[0])
    assert all(key.startswith('bert.') for key in own.state_dict())
    assert all(key.startswith('model.') for key in other.state_dict())


def test_roberta_is_no_bert(small_encoder):
    with pytest.raises(ValueError, match="'roberta'.*Roberta.*HFTextEncoder"):
        BertTextEncoder(small_encoder('roberta'))


def mix(model, tokenizer, folder):
    """Write a directory with one's model and another's tokenizer."""
    shutil.copytree(model, folder)
    for name in ('tokenizer.json', 'tokenizer_config.json'):
        shutil.copy(f'{tokenizer}/{name}', folder / name)
    return str(folder)


def test_a_tokenizer_of_another_model_is_rejected(small_encoder, tmp_path):
    bert, roberta, xlm = map(small_encoder, ('bert', 'roberta', 'xlm-roberta'))
    with pytest.raises(ValueError, match='BertTextEncoder reads'):
        BertTextEncoder(mix(bert, xlm, tmp_path / 'a'))
    with pytest.raises(ValueError, match='pads with 0.*padding 1'):
        HFTextEncoder(mix(roberta, bert, tmp_path / 'b'))
    with pytest.raises(ValueError, match='ids up to 330.*knows 80'):
        HFTextEncoder(mix(bert, roberta, tmp_path / 'c'))


@pytest.mark.parametrize(
    ('change', 'kind', 'message'),
    [
        (dict(model_type='vit'), ValueError, "of model_type 'vit'"),
        (dict(model_type='bart'), ValueError, "of model_type 'bart'"),
        (dict(model_type='nobody'), ValueError, "not know model_type 'nobody"),
        (dict(model_type=None), ValueError, 'not know model_type None'),
    ],
)
def test_what_is_no_text_encoder_is_named(
    small_encoder, tmp_path, change, kind, message
):
    folder = shutil.copytree(small_encoder('bert'), tmp_path / 'copy')
    values = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps(values | change))
    with pytest.raises(kind, match=message):
        HFTextEncoder(str(folder))


def test_a_directory_runs_no_code(small_encoder, tmp_path):
    folder = shutil.copytree(small_encoder('roberta'), tmp_path / 'copy')
    trace = tmp_path / 'ran'
    (folder / 'own.py').write_text(f'open({str(trace)!r}, "w")')
    for name in ('config.json', 'tokenizer_config.json'):
        values = json.loads((folder / name).read_text())
        values['auto_map'] = dict.fromkeys(
            ('AutoConfig', 'AutoModel', 'AutoTokenizer'), 'own.Own'
        )
        values['attn_implementation'] = 'kernels-community/flash-attn'
        (folder / name).write_text(json.dumps(values))
    loaded(str(folder))(['red'])
    assert not trace.exists()


def test_positions_that_roberta_does_not_have_are_not_used(small_encoder):
    folder = small_encoder('roberta')
    encoder = loaded(folder, max_tokens=22)
    encoder([' '.join(['red'] * 30)])
    with pytest.raises(ValueError, match='max_tokens=23.* 22 positions'):
        HFTextEncoder(folder, max_tokens=23)


def test_adapters_train_beside_frozen_weights(small_encoder):
    pytest.importorskip('peft')
    folder = small_encoder('roberta')
    whole, encoder = loaded(folder), loaded(folder, lora=dict(r=2))
    torch.testing.assert_close(encoder(['red'])[0], whole(['red'])[0])
    trained = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert trained and all('lora_' in name for name in trained)
    optimizer = torch.optim.SGD(encoder.parameters(), 1.0)
    encoder.train()(['red', 'blue'])[0][..., 0].sum().backward()
    optimizer.step()
    changed = encoder.eval()(['red'])[0]
    assert (changed - whole(['red'])[0]).abs().max() > 1e-3
    again = HFTextEncoder(folder, max_tokens=20, lora=dict(r=2)).eval()
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(['red'])[0], changed)


@pytest.mark.parametrize(
    'options',
    [
        dict(lora=dict(r=2), frozen=True),
        dict(lora=dict(rank=2)),
        dict(lora=dict(r=2, target_modules='(a+)+')),
    ],
)
def test_adapters_of_other_arguments_are_rejected(small_encoder, options):
    pytest.importorskip('peft')
    with pytest.raises(ValueError, match='lora_alpha'):
        HFTextEncoder(small_encoder('roberta'), **options)
