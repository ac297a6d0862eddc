"""Folders whose config does not describe the model of their weights."""

import json

import pytest

from mmdit.hub import from_pretrained, save_pretrained


@pytest.fixture
def folder(model, config, tmp_path):
    return save_pretrained(model, config, tmp_path / 'model')


def change(folder, edit):
    path = folder / 'config.json'
    content = json.loads(path.read_text())
    edit(content['model'])
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    'edit',
    [
        lambda model: model['backbone']['arch'].update(embed_dims=10**6),
        lambda model: model['backbone']['arch'].update(depth=10**7),
        lambda model: model['backbone'].update(img_size=10**7),
        lambda model: model['decode_head'].update(mlp_dims=10**9),
    ],
)
def test_a_model_larger_than_its_weights_takes_no_memory(folder, edit):
    change(folder, edit)
    with pytest.raises(ValueError, match='config.json describes a model of'):
        from_pretrained(folder)


@pytest.mark.parametrize(
    'edit',
    [
        lambda model: model['backbone'].update(arch='../../x'),
        lambda model: model['backbone'].update(color='red'),
        lambda model: model['data_preprocessor'].update(mean={}),
        lambda model: model['data_preprocessor'].update(std=[1, 2]),
        lambda model: model['data_preprocessor'].update(mean=[[1], [1, 2]]),
        lambda model: model['decode_head'].update(num_heads=3),
        lambda model: model.update(backbone=7),
    ],
)
def test_what_cannot_be_built_names_the_file(folder, edit):
    change(folder, edit)
    with pytest.raises(ValueError, match='config.json describes a model that'):
        from_pretrained(folder)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'[' * 5000 + b']' * 5000, 'not complete JSON'),
        (b'\xff\xfe', 'not complete JSON'),
        (b'[' + b'9' * 5000 + b']', 'not complete JSON'),
        (b'{', 'not complete JSON'),
        (b'[]', 'expected'),
        (b'{"default_scope": "mmdit", "model": [], "test_dataloader": 3}',
         'expected a dict'),
    ],
)  # fmt: skip
def test_another_config_names_the_file(folder, content, message):
    (folder / 'config.json').write_bytes(content)
    with pytest.raises(ValueError, match=f'config.json.*{message}'):
        from_pretrained(folder)


def test_a_model_has_a_type(folder):
    change(folder, lambda model: model.pop('type'))
    with pytest.raises(ValueError, match='config.json: model is'):
        from_pretrained(folder)


def test_a_text_encoder_of_another_kind_is_rejected(folder):
    change(folder, lambda model: model.update(text_encoder=[1]))
    with pytest.raises(ValueError, match='pretrained of text_encoder'):
        from_pretrained(folder)
