"""Which data sets a test of several splits scores, and where rows go."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmdit.engine.testing import add_name, list_splits, set_out_file
from mmdit.resources import resolve_config

NAME = 'ldit_sam-vit-b_4xb16-40e_{}-512x512'
THREE = ('val', 'testA', 'testB')


def read(name):
    return Config.fromfile(resolve_config(NAME.format(name)))


def splits_of(name, *splits):
    found = list_splits(read(name), splits)
    assert all(dataset['test_mode'] for dataset in found)
    return [(dataset['name'], dataset['split']) for dataset in found]


def test_three_sets_have_eight_columns():
    expected = [('refcoco', split) for split in THREE]
    expected += [('refcoco+', split) for split in THREE]
    expected += [('refcocog', split) for split in ('val', 'test')]
    assert splits_of('refcoco-joint') == expected
    assert splits_of('refcoco-joint', 'test') == [('refcocog', 'test')]
    found = list_splits(read('refcoco-joint'))
    assert found[-1]['split_by'] == 'umd'
    assert found[-1]['type'] == 'RefCOCODataset'


@pytest.mark.parametrize(
    ('name', 'dataset', 'splits'),
    [
        ('refcoco', 'refcoco', THREE),
        ('refcocog-google', 'refcocog', ('val',)),
        ('grefcoco', 'grefcoco', THREE),
    ],
)
def test_without_names_it_is_what_papers_report(name, dataset, splits):
    assert splits_of(name) == [(dataset, split) for split in splits]


def test_any_split_may_be_named():
    assert splits_of('refclef-unc', 'testC') == [('refclef', 'testC')]


@pytest.mark.parametrize(
    ('name', 'splits', 'message'),
    [
        ('refcoco-joint', ['testX'], 'testX'),
        ('refclef-unc', [], 'name others'),
        ('jsonl', ['val'], 'ReferJSONLDataset'),
    ],
)
def test_what_has_no_such_split_is_told(name, splits, message):
    with pytest.raises(ValueError, match=message):
        list_splits(read(name), splits)


def test_rows_of_several_evaluators_have_files_of_their_own():
    metric = dict(type='mmdit.ReferIoUMetric')
    other = dict(type='Other')
    cfg = Config(dict(test_evaluator=[other, metric, dict(metric)]))
    set_out_file(cfg, 'a/b.json')
    files = [metric.get('out_file') for metric in cfg.test_evaluator]
    assert files == [None, 'a/b.json', 'a/b_2.json']
    assert add_name('a/b.json', 'refcoco', 'val') == Path(
        'a/b_refcoco_val.json'
    )
    with pytest.raises(ValueError, match='ReferIoUMetric'):
        set_out_file(Config(dict(test_evaluator=[other])), 'b.json')
