"""Weights alone, of published sizes, and the config that computes them."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from segment_anything import sam_model_registry
from small_checkpoints import make_sam
from transformers import BertConfig, BertTokenizerFast, SamConfig, SamModel

from mmdit.checkpoints.recognize import make_config
from mmdit.checkpoints.sources import from_mmdit, to_mmdit
from mmdit.checkpoints.strict import find_mismatches
from mmdit.registry import MODELS
from mmdit.resources import resolve_config

ZOO = 'sam-vit-b_4xb16-40e_refcoco-512x512'
ROWS = {
    'default': None,
    'default-dec6': None,
    'ldit': 'LayerwiseProjection',
    'ldit-token': 'LayerwiseToken',
    'edit-token': 'EndToEndToken',
    'ldit-cross': 'LayerwiseCrossAttention',
    'ldit-cross-ffn': 'LayerwiseCrossAttentionFFN',
}


@pytest.fixture(scope='module')
def bert_base(tmp_path_factory):
    """Config and vocabulary of BERT-base, with other words."""
    folder = tmp_path_factory.mktemp('bert-base')
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    words += [f'word{i}' for i in range(30522 - len(words))]
    (folder / 'vocab.txt').write_text('\n'.join(words) + '\n')
    BertTokenizerFast(str(folder / 'vocab.txt')).save_pretrained(folder)
    BertConfig().save_pretrained(folder)
    return str(folder)


def build(model):
    """Build without memory or values."""
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmdit'):
        return MODELS.build(model)


@pytest.mark.parametrize('name', ROWS)
def test_a_file_of_the_authors_tells_its_row(name, bert_base):
    row = Config.fromfile(resolve_config(f'{name}_{ZOO}')).model
    row.text_encoder.pretrained = bert_base
    theirs = from_mmdit(build(row).state_dict(), 'dit').state_dict
    cfg, line = make_config({f'module.{k}': v for k, v in theirs.items()})
    cfg.model.text_encoder.pretrained = bert_base
    injector = cfg.model.backbone.text_injector
    assert (injector and injector.type) == ROWS[name]
    assert cfg.model.text_encoder.num_layers == 1
    assert cfg.model.decode_head.align_corners
    model = build(cfg.model)
    model.load_state_dict(theirs, assign=True)
    assert 'layer 1' in line and ('E-DIT' in line) == (name == 'ldit')


def test_what_both_fit_is_chosen_by_a_word(bert_base):
    row = Config.fromfile(resolve_config(f'ldit_{ZOO}')).model
    row.text_encoder.pretrained = bert_base
    theirs = from_mmdit(build(row).state_dict(), 'dit').state_dict
    cfg, line = make_config(theirs, 'edit')
    assert cfg.model.backbone.text_injector.type == 'EndToEndProjection'
    assert 'EndToEndProjection' in line
    with pytest.raises(ValueError, match="'edti', expected ldit or edit"):
        make_config(theirs, 'edti')
    static = Config.fromfile(resolve_config(f'ldit-token_{ZOO}')).model
    static.text_encoder.pretrained = bert_base
    theirs = from_mmdit(build(static).state_dict(), 'dit').state_dict
    with pytest.raises(ValueError, match='no effect: .*LayerwiseToken'):
        make_config(theirs, 'edit')


@pytest.mark.parametrize(
    ('letter', 'arch'), [('b', 'base'), ('l', 'large'), ('h', 'huge')]
)
def test_sams_own_files_tell_their_size(letter, arch):
    with torch.device('meta'):
        theirs = sam_model_registry[f'vit_{letter}']().state_dict()
    cfg, line = make_config(theirs)
    assert cfg.model.backbone.arch == arch and arch in line
    assert cfg.model.backbone.attention == 'windowed'
    given = to_mmdit(theirs)[1].state_dict
    assert not find_mismatches(build(cfg.model).state_dict(), given)


def test_so_does_a_sam_of_transformers():
    with torch.device('meta'):
        theirs = SamModel(SamConfig()).state_dict()
    cfg, _ = make_config(theirs)
    given = to_mmdit(theirs)[1].state_dict
    assert not find_mismatches(build(cfg.model).state_dict(), given)


def test_what_weights_alone_do_not_tell_is_said(config, random_model):
    ours = random_model(config).state_dict()
    with pytest.raises(ValueError, match='its config or its folder'):
        make_config(ours)
    with pytest.raises(ValueError, match='width 32'):
        make_config(make_sam().state_dict())
