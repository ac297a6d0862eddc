"""Weights alone, of published sizes, and the config that computes them."""

import pytest
import torch
from mmengine.registry import DefaultScope
from release_format import on_meta, release_shapes
from segment_anything import sam_model_registry
from small_checkpoints import make_sam
from transformers import BertConfig, BertTokenizerFast, SamConfig, SamModel

from mmdit.apis.recognize import make_config
from mmdit.checkpoints.sources import from_mmdit, to_mmdit
from mmdit.checkpoints.strict import find_mismatches
from mmdit.registry import MODELS

ARCHS = dict(b='base', l='large', h='huge')


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


@pytest.mark.parametrize(
    ('injector', 'size', 'decoder_layers'),
    [
        (None, 'b', 2),
        (None, 'b', 6),
        ('LayerwiseProjection', 'b', 2),
        ('LayerwiseProjection', 'h', 2),
        ('LayerwiseToken', 'b', 2),
        ('LayerwiseToken', 'h', 2),
        ('EndToEndToken', 'b', 2),
        ('EndToEndToken', 'h', 2),
        ('LayerwiseCrossAttention', 'b', 2),
        ('LayerwiseCrossAttentionFFN', 'b', 2),
    ],
)
def test_a_file_of_the_authors_tells_its_row(
    injector, size, decoder_layers, bert_base
):
    shapes = release_shapes(injector, size, decoder_layers)
    cfg, line = make_config(on_meta(shapes, 'module.'))
    cfg.model.text_encoder.pretrained = bert_base
    found = cfg.model.backbone.text_injector
    assert (found and found.type) == injector
    assert cfg.model.backbone.arch == ARCHS[size]
    assert cfg.model.decode_head.num_layers == decoder_layers
    assert cfg.model.text_encoder.num_layers == 1
    assert cfg.model.decode_head.align_corners
    model = build(cfg.model)
    model.load_state_dict(on_meta(shapes), assign=True)
    is_shared = injector == 'LayerwiseProjection'
    assert 'layer 1' in line and ('E-DIT' in line) == is_shared
    # Back: all that their strict loading demands, and no more.
    back = from_mmdit(model.state_dict(), 'dit').state_dict
    assert {key: tuple(v.shape) for key, v in back.items()} == shapes


def test_what_both_fit_is_chosen_by_a_word():
    theirs = on_meta(release_shapes('LayerwiseProjection'))
    cfg, line = make_config(theirs, 'edit')
    assert cfg.model.backbone.text_injector.type == 'EndToEndProjection'
    assert 'EndToEndProjection' in line
    with pytest.raises(ValueError, match="'edti', expected ldit or edit"):
        make_config(theirs, 'edti')
    theirs = on_meta(release_shapes('LayerwiseToken'))
    with pytest.raises(ValueError, match='no effect: .*LayerwiseToken'):
        make_config(theirs, 'edit')


@pytest.mark.parametrize(('letter', 'arch'), ARCHS.items())
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
