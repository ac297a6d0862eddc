"""What a ``config.json`` may say."""

import json

import pytest
from mmengine.config import Config

from mmdit.hub.config import make_config, read_config, write_config
from mmdit.registry import MODELS


def test_tuples_and_lists_come_back_as_they_were(config, tmp_path):
    write_config(make_config(config), tmp_path)
    again = read_config(tmp_path)
    _, resize, *_ = again.test_dataloader.dataset.pipeline
    assert resize.scale == (32, 32) and isinstance(resize.scale, tuple)
    assert isinstance(again.model.data_preprocessor.mean, list)
    assert again.model.data_preprocessor.size == (32, 32)
    assert again.model.backbone == config.model.backbone
    assert again.keys() == {'default_scope', 'model', 'test_dataloader'}


@pytest.mark.parametrize(
    'name',
    [
        'subprocess.Popen',
        'os.system',
        'builtins.exec',
        'mmengine.fileio.get',
        'mmcv.imread',
        'mmdit.models.pretrained.SAMPretrained',
        'nowhere.Model',
        7,
    ],
)
@pytest.mark.parametrize('place', ['model', 'backbone', 'pipeline'])
def test_only_what_is_registered_is_built(config, tmp_path, name, place):
    content = make_config(config)
    target = dict(
        model=content['model'],
        backbone=content['model']['backbone']['text_injector'],
        pipeline=content['test_dataloader']['dataset']['pipeline'][1],
    )[place]
    target['type'] = name
    write_config(content, tmp_path)
    with pytest.raises(ValueError, match='is not in the registry'):
        read_config(tmp_path)


def test_a_class_of_ones_own_is_found_once_it_is_registered(config, tmp_path):
    @MODELS.register_module(name='MyInjector')
    class MyInjector:
        pass

    try:
        config.model.backbone.text_injector.type = 'MyInjector'
        write_config(make_config(config), tmp_path)
        assert read_config(tmp_path)
    finally:
        MODELS.module_dict.pop('MyInjector')
    with pytest.raises(ValueError, match='import the module that registers'):
        read_config(tmp_path)


def test_losses_of_other_projects_are_found(config):
    config.model.decode_head.loss_decode = dict(type='mmseg.DiceLoss')
    assert make_config(config)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(custom_imports=dict(imports=['antigravity'])), 'custom_imports'),
        (dict(default_scope='mmseg'), 'default_scope'),
        (dict(model=dict(init_cfg=dict(type='Pretrained'))), 'init_cfg'),
    ],
)
def test_anything_else_is_rejected(config, tmp_path, change, message):
    write_config(make_config(config) | change, tmp_path)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path)


def test_python_is_not_read(tmp_path):
    (tmp_path / 'config.json').write_text('import os; os._exit(1)')
    with pytest.raises(ValueError, match='is not complete JSON'):
        read_config(tmp_path)
    (tmp_path / 'config.json').write_text(json.dumps([1]))
    with pytest.raises(ValueError, match='expected'):
        read_config(tmp_path)


def test_values_that_json_lacks_are_named(config):
    config = Config(config.to_dict())
    config.model['hook'] = print
    with pytest.raises(TypeError, match='model.hook of the config is a'):
        make_config(config)
