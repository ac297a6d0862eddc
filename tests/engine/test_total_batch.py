import re

import pytest
from mmengine.config import Config

from mmdit.engine.total_batch import describe_batch, scale_learning_rate
from mmdit.resources import list_configs


def recipe(batch_size=16, enable=False):
    return Config(
        dict(
            optim_wrapper=dict(optimizer=dict(lr=1e-4)),
            train_dataloader=dict(batch_size=batch_size),
            auto_scale_lr=dict(enable=enable, base_batch_size=64),
        )
    )


def test_another_total_batch_than_the_recipes_is_said_with_the_cure():
    assert describe_batch(recipe(), 4) == (
        'total batch 64 (4 x 16), the recipe: batch 64 at learning rate '
        '0.0001, as here'
    )
    assert describe_batch(recipe(), 2) == (
        'total batch 32 (2 x 16), the recipe: batch 64 at learning rate '
        '0.0001, as here: give --auto-scale-lr for 5e-05, or a '
        'train_dataloader.batch_size of 32'
    )
    cfg = recipe(8)
    scale_learning_rate(cfg)
    assert describe_batch(cfg, 1).endswith('makes it 1.25e-05 here')
    assert describe_batch(Config(dict(model={})), 1) is None


def test_a_config_without_a_base_batch_is_rejected():
    with pytest.raises(ValueError, match='base_batch_size'):
        scale_learning_rate(Config(dict(model={})))


@pytest.mark.parametrize('name', list_configs())
def test_the_base_batch_is_that_of_the_name(name):
    """``4xb16`` is 4 processes of 16; small models train in one."""
    cfg = Config.fromfile(list_configs()[name])
    if given := re.search(r'_(\d+)xb(\d+)-', name):
        assert cfg.train_dataloader.batch_size == int(given[2])
        expected = int(given[1]) * int(given[2])
    elif name.startswith('sam_sam') or name == 'ldit_vith':
        expected = 64
    else:
        expected = cfg.train_dataloader.batch_size
    assert not cfg.auto_scale_lr.enable
    assert cfg.auto_scale_lr.base_batch_size == expected
