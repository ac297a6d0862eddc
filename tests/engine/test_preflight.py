import os
import shutil

import pytest
import torch
from huggingface_hub import constants
from in_process import command_line
from mmengine.config import Config, ConfigDict

from mmdit.cli.main import main
from mmdit.engine.preflight import check_needs
from mmdit.resources import resolve_config

LDIT = 'ldit_sam-vit-b_4xb16-40e_refcoco-512x512'


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Start in a folder without data, and with a cache without files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    return tmp_path


def needs(cfg, capsys):
    """Return what stops a training, one per line, and what is fetched."""
    said = []
    try:
        check_needs(cfg)
    except SystemExit as stop:
        said = str(stop).splitlines()[1:]
    lines = capsys.readouterr().err.splitlines()
    return said, [line for line in lines if line.startswith('to be fetched')]


@pytest.mark.parametrize(
    ('command', 'weights', 'begin'),
    [
        (['train', LDIT], 'sam_vit_b_01ec64.pth is not in the', 'training'),
        (['test', LDIT, 'a.pth'], 'a.pth does not exist', 'the test'),
    ],
)
def test_all_that_is_missing_is_named_before_processes_start(
    command, weights, begin, empty_folder, monkeypatch
):
    def execv(*_):
        raise AssertionError('processes were started')

    monkeypatch.setattr(os, 'execv', execv)
    with (
        command_line(empty_folder, 'mmdit', *command, '--gpus', '2'),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    said = str(stop.value)  # the status is 1, then
    assert said.startswith(f'error: {begin} cannot start')
    assert said.count('\n') == 4
    for missing in (
        '1. data/refer/refcoco/instances.json does not exist',
        '2. data/refer/images/train2014 does not exist',
        weights,
        "cannot load 'bert-base-uncased'",
    ):
        assert missing in said
    assert os.listdir(empty_folder) == []


def test_what_comes_from_the_web_is_only_named(
    tiny_refer, monkeypatch, capsys
):
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    cfg = Config.fromfile(resolve_config(LDIT))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(tiny_refer)
    said, fetched = needs(cfg, capsys)
    assert said == []
    assert 'sam_vit_b_01ec64.pth, bert-base-uncased (Hugging' in fetched[0]
    cfg.model.text_encoder.pretrained = '/nowhere/bert'
    said, _ = needs(cfg, capsys)
    assert len(said) == 1 and "cannot load '/nowhere/bert'" in said[0]


@pytest.mark.parametrize(
    ('lost', 'expected'),
    [
        ('refcoco', ['refcoco/instances.json does not exist']),
        ('refcoco/refs(unc).p', ['holds no refs']),
        ('images', ['images/train2014 does not exist']),
    ],
)
def test_each_part_of_a_data_set(tiny_refer, lost, expected, capsys):
    path = tiny_refer / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    inner = dict(type='RefCOCODataset', data_root=str(tiny_refer))
    several = dict(type='ConcatDataset', datasets=[inner, inner])
    wrapped = dict(type='RepeatDataset', dataset=several, times=2)
    cfg = Config(dict(model={}, train_dataloader=dict(dataset=wrapped)))
    said, _ = needs(cfg, capsys)
    assert len(said) == len(expected)
    assert all(part in line for part, line in zip(expected, said, strict=True))


def test_joined_and_own_data_sets_name_what_they_lack(tiny_refer, capsys):
    cfg = Config(
        dict(
            model={},
            train_dataloader=dict(
                dataset=dict(
                    type='mmdit.JointRefCOCODataset',
                    data_root=str(tiny_refer),
                )
            ),
            val_dataloader=dict(
                dataset=dict(
                    type='ReferJSONLDataset',
                    data_root='own',
                    ann_file='val.jsonl',
                    data_prefix=dict(img_path='s3://own', mask_path='masks'),
                )
            ),
        )
    )
    said, _ = needs(cfg, capsys)
    assert [line.split('. ', 1)[1].split(' ')[0] for line in said] == [
        str(tiny_refer / 'refcoco+/instances.json'),
        str(tiny_refer / 'refcocog/instances.json'),
        'own/val.jsonl',
        'own/masks',
    ]


@pytest.fixture
def model(bert_dir, empty_folder):
    """A config that starts from SAM's and BERT's files, both here."""
    torch.save({'image_encoder.pos_embed': torch.zeros(1)}, 'sam.pth')
    model = dict(
        text_encoder=dict(type='BertTextEncoder', pretrained=str(bert_dir)),
        init_cfg=dict(type='mmdit.SAMPretrained', checkpoint='sam.pth'),
    )
    model['text_encoder']['max_tokens'] = 6
    return Config(dict(model=model, work_dir='run'))


def test_weights_of_both_models_are_looked_for(model, bert_dir, capsys):
    assert needs(model, capsys) == ([], [])
    shutil.copytree(bert_dir, 'bert', ignore=shutil.ignore_patterns('*.saf*'))
    model.model.text_encoder.pretrained = 'bert'
    said, _ = needs(model, capsys)
    assert len(said) == 1 and 'bert holds no weights' in said[0]
    os.remove('sam.pth')
    said, _ = needs(model, capsys)
    assert '1. sam.pth does not exist: set model.init_cfg' in said[0]
    assert len(said) == 2


def test_a_checkpoint_brings_all_weights(model, bert_dir, capsys):
    os.remove('sam.pth')
    shutil.copytree(bert_dir, 'bert', ignore=shutil.ignore_patterns('*.saf*'))
    model.model.text_encoder.pretrained = 'bert'
    os.mkdir('run')
    torch.save(dict(state_dict={'text_encoder.a': torch.ones(1)}), 'all.pth')
    model.load_from = 'all.pth'
    assert needs(model, capsys) == ([], [])
    shutil.move('all.pth', 'run/iter_2.pth')
    said, _ = needs(model, capsys)
    assert len(said) == 2 and 'all.pth does not exist' in said[0]
    model.merge_from_dict(ConfigDict(resume='auto'))
    assert needs(model, capsys) == ([], [])


def test_a_vocabulary_is_looked_for(capsys):
    cfg = Config(
        dict(
            model=dict(
                text_encoder=dict(
                    type='BertTextEncoder', config={}, vocab_file='vocab.txt'
                )
            )
        )
    )
    said, _ = needs(cfg, capsys)
    assert len(said) == 1 and 'mmdit build-vocab' in said[0]
