"""Settings travel with weights, and another model is told."""

import inspect
import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from small_models import INJECTORS, make_config, save_weights

from mmdit.apis import ReferringSegInferencer
from mmdit.checkpoints.files import read_checkpoint
from mmdit.checkpoints.settings import (
    NOT_COMPARED,
    compare_settings,
    describe_settings,
    recorded_data,
    recorded_settings,
)
from mmdit.checkpoints.writing import write_file
from mmdit.datasets.pipeline import image_steps
from mmdit.engine.hooks import SettingsHook
from mmdit.hub import from_pretrained, save_pretrained
from mmdit.models.pretrained import SAMPretrained
from mmdit.registry import MODELS

# What changes numbers without changing shapes: the key, and another value.
OTHERS = {
    'model.backbone.text_injector.type': 'mmdit.EndToEndProjection',
    'model.backbone.attention': 'windowed',
    'model.text_encoder.max_tokens': 7,
    'model.text_encoder.mask_padding': True,
    'model.decode_head.align_corners': True,
    'model.decode_head.multimask_output': True,
    'model.decode_head.num_heads': 4,
    'model.data_preprocessor.mean': [0.0, 0.0, 0.0],
    'model.data_preprocessor.std': [1.0, 1.0, 1.0],
    'model.data_preprocessor.size': (40, 32),
    'model.data_preprocessor.bgr_to_rgb': False,
    'test_pipeline': None,
}
BERTS = {
    'num_attention_heads': 4,
    'hidden_act': 'relu',
    'layer_norm_eps': 1e-3,
}


def build(config):
    with DefaultScope.overwrite_default_scope('mmdit'):
        return MODELS.build(config.model).eval()


def describe(config):
    return describe_settings(build(config), image_steps(config))


@pytest.fixture
def config(tiny_segmentor, tiny_refer):
    tiny_segmentor['backbone']['window_size'] = 2
    return make_config(tiny_segmentor, tiny_refer)


@pytest.fixture
def trained(config, tmp_path):
    """A checkpoint that records the settings of ``config``."""
    path = save_weights(config, tmp_path / 'trained.pth')
    state_dict = torch.load(path)['state_dict']
    meta = dict(meta=dict(settings=describe(config)))
    write_file(tmp_path / 'trained.pth', state_dict, meta)
    return path


def change(config, key, value):
    """Return a copy of ``config`` with another value at ``key``."""
    other = Config(config.to_dict())
    if key == 'test_pipeline':
        step = other.test_dataloader.dataset.pipeline[1]
        step.update(keep_ratio=False)
    else:
        other.merge_from_dict({key: value})
    return other


@pytest.mark.parametrize(('key', 'value'), OTHERS.items())
def test_another_setting_is_an_error_that_names_key_and_values(
    config, trained, key, value
):
    other = change(config, key, value)
    with pytest.raises(ValueError, match='allow_other_settings') as error:
        ReferringSegInferencer(other, trained, 'cpu')
    (line,) = (x for x in str(error.value).splitlines() if key in x)
    was, now = describe(config)[key], describe(other)[key]
    assert repr(was) in line and repr(now) in line and was != now


@pytest.mark.parametrize(('name', 'value'), BERTS.items())
def test_settings_of_bert_count_as_well(config, trained, name, value):
    other = change(config, f'model.text_encoder.config.{name}', value)
    with pytest.raises(ValueError, match=f'model.text_encoder.{name}'):
        ReferringSegInferencer(other, trained, 'cpu')


def test_another_vocabulary_of_as_many_words_is_told(
    config, trained, tmp_path
):
    path = tmp_path / 'other.txt'
    with open(config.model.text_encoder.vocab_file) as file:
        lines = file.read().split()
    path.write_text('\n'.join([*lines[:5], *lines[:4:-1]]) + '\n')
    other = change(config, 'model.text_encoder.vocab_file', str(path))
    with pytest.raises(ValueError, match=r'text_encoder\.vocabulary'):
        ReferringSegInferencer(other, trained, 'cpu')


def test_where_text_enters_is_recorded(config):
    """Shapes of an injector need not tell it."""
    key = 'model.backbone.text_injector.first_block'
    late = describe(change(config, key, 1))
    assert late[key] == 1
    with pytest.raises(ValueError, match=f'{key}: 1 in the checkpoint, 0 in'):
        compare_settings(late, describe(config))


def test_going_on_all_the_same_is_a_switch(config, trained):
    other = change(config, 'model.backbone.attention', 'windowed')
    ReferringSegInferencer(other, trained, 'cpu', allow_other_settings=True)
    other.allow_other_settings = True
    ReferringSegInferencer(other, trained, 'cpu')


def test_the_same_model_and_older_files_pass(config, trained, tmp_path):
    ReferringSegInferencer(config, trained, 'cpu')
    # A threshold is chosen anew, and training alone may differ.
    for key, value in (
        ('model.decode_head.threshold', 0.9),
        ('model.backbone.frozen', True),
        ('model.backbone.text_injector.dropout', 0.5),
        ('model.text_encoder.config.hidden_dropout_prob', 0.5),
    ):
        ReferringSegInferencer(change(config, key, value), trained, 'cpu')
    other = change(config, 'model.backbone.attention', 'windowed')
    state_dict = torch.load(trained)['state_dict']
    for n, meta in enumerate((None, {}, [], dict(settings=None), dict(a=1))):
        path = tmp_path / f'old{n}.pth'
        torch.save(dict(state_dict=state_dict, meta=meta), path)
        ReferringSegInferencer(other, str(path), 'cpu')


def test_every_argument_is_compared_or_left_out_for_a_reason(config):
    """Arguments that shapes show need no record; all others must be seen."""
    shapes = {
        *('arch', 'img_size', 'window_size', 'mlp_ratio', 'in_channels'),
        *('out_channels', 'text_dims', 'num_layers', 'mlp_dims', 'depth'),
        *('mask_in_channels', 'inner_dims', 'num_tokens', 'embed_dims'),
    }
    # Described by what was made of them.
    described = {'config', 'vocab_file', 'text_injector'}
    known = shapes | described | set(NOT_COMPARED)
    for injector in INJECTORS[1:]:
        other = Config(config.to_dict())
        other.model.backbone.text_injector.type = f'mmdit.{injector}'
        if 'Attention' in injector:
            other.model.backbone.text_injector.update(inner_dims=8)
        model = build(other)
        found = describe_settings(model)
        for place in (
            *('text_encoder', 'backbone', 'backbone.text_injector'),
            *('decode_head', 'data_preprocessor'),
        ):
            part = model.get_submodule(place)
            for name in inspect.signature(type(part)).parameters:
                assert name in known or f'model.{place}.{name}' in found, name


def test_a_record_is_plain_and_survives_every_form(config, trained, tmp_path):
    expected = describe(config)
    assert json.loads(json.dumps(expected)) == expected
    assert recorded_settings(read_checkpoint(trained)) == expected
    content = torch.load(trained)
    path = tmp_path / 'a.safetensors'
    write_file(path, content['state_dict'], dict(meta=content['meta']))
    assert recorded_settings(read_checkpoint(str(path))) == expected
    folder = save_pretrained(build(config), config, tmp_path / 'hub')
    written = read_checkpoint(str(folder))
    assert recorded_settings(written) == expected


def test_what_weights_were_trained_on_travels_with_them(config, tmp_path):
    config.trained_on = 'drawn shapes'
    folder = save_pretrained(build(config), config, tmp_path / 'hub')
    assert 'Trained on drawn shapes' in (folder / 'README.md').read_text()
    config.trained_on = 'what this config has, others had not'
    weights = folder / 'model.safetensors'
    model = ReferringSegInferencer(config, weights, 'cpu')
    assert model.description.startswith('trained on drawn shapes; knows ')
    checkpoint = dict(meta={})
    runner = SimpleNamespace(cfg=config, model=build(config))
    SettingsHook().before_save_checkpoint(runner, checkpoint)
    assert recorded_data(checkpoint) == config.trained_on
    for bad in (None, 3, '', ' '):
        record = dict(meta=dict(settings=dict(trained_on=bad)))
        assert recorded_data(record) is None


def test_a_folder_to_share_notices_another_config(config, tmp_path):
    folder = save_pretrained(build(config), config, tmp_path / 'hub')
    assert describe_settings(from_pretrained(folder)) == describe_settings(
        build(config)
    )
    text = (folder / 'config.json').read_text()
    other = text.replace('LayerwiseProjection', 'EndToEndProjection')
    (folder / 'config.json').write_text(other)
    for load in (from_pretrained, ReferringSegInferencer):
        with pytest.raises(ValueError, match=r'text_injector\.type'):
            load(str(folder))


@pytest.mark.parametrize('text', ['{', '[' * 100_000, '{"a": '])
def test_a_forged_record_is_one_sentence(tmp_path, text):
    from safetensors.torch import save_file

    path = tmp_path / 'a.safetensors'
    save_file(dict(a=torch.ones(1)), path, {'mmdit_settings': text})
    with pytest.raises(ValueError, match='metadata is not JSON'):
        read_checkpoint(str(path))
    for record in ([], 'x', {'model.backbone.attention': {1, 2}}):
        compare_settings(
            recorded_settings(dict(meta=dict(settings=record))),
            {'model.backbone.attention': 'all'},
        )


def test_training_starts_from_other_settings_but_not_another_injector(
    config, trained, monkeypatch
):
    said = []
    monkeypatch.setattr(
        'mmdit.checkpoints.settings.print_log',
        lambda text, **_: said.append(text),
    )
    other = change(config, 'model.backbone.attention', 'windowed')
    SAMPretrained(trained)(build(other))
    assert len(said) == 1 and 'model.backbone.attention' in said[0]
    key = 'model.backbone.text_injector.type'
    with pytest.raises(ValueError, match=key):
        SAMPretrained(trained)(build(change(config, key, OTHERS[key])))
