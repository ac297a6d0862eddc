"""Weights of a published kind suffice: their config follows from them."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mmdit.apis import ReferringSegInferencer
from mmdit.apis.models import config_of_weights
from mmdit.checkpoints.sources import from_mmdit
from mmdit.cli.segment import main as segment
from mmdit.registry import MODELS

EXPRESSION = 'the red circle'


@pytest.fixture(scope='module')
def released(bert_dir, tmp_path_factory):
    """A file in the authors' format, of a small encoder."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='mmdit.ReferringSegmentor',
            text_encoder=dict(
                type='mmdit.BertTextEncoder',
                pretrained=bert_dir,
                num_layers=1,
            ),
            backbone=dict(
                type='mmdit.SAMViT',
                arch=dict(
                    embed_dims=32, depth=2, num_heads=2, global_blocks=(1,)
                ),
                text_injector=dict(type='mmdit.LayerwiseProjection'),
            ),
            decode_head=dict(type='mmdit.SAMMaskHead'),
        )
    )
    for value in model.parameters():
        value.data += 0.05 * torch.randn_like(value)
    theirs = from_mmdit(model.state_dict(), 'dit').state_dict
    wrapped = {f'module.{key}': value for key, value in theirs.items()}
    path = tmp_path_factory.mktemp('released') / 'det_best.pth'
    torch.save(dict(state_dict=wrapped, epoch=25, lr=1e-4), path)
    return str(path)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    return str(tmp_path / 'photo.png')


def predict(photo, *args):
    model = ReferringSegInferencer(*args, device='cpu')
    return model(photo, EXPRESSION)['predictions'][0]


def test_shell_python_and_a_converted_folder_agree(
    released, bert_dir, photo, tmp_path, capsys, monkeypatch
):
    cfg = config_of_weights(released, text_encoder=bert_dir)
    assert cfg.model.backbone.text_injector.type == 'LayerwiseProjection'
    expected = predict(photo, cfg, released)
    options = ['--weights', released, '--text-encoder', bert_dir]
    out = tmp_path / 'out'
    args = [photo, EXPRESSION, *options, '--out-dir', str(out)]
    assert segment(args) == 0
    row = json.loads((out / 'predictions.json').read_text())[0]
    assert row['rle'] == expected['rle']

    from tools.model_converters import convert_checkpoint

    folder = tmp_path / 'folder'
    command = ['convert', released, str(folder), *options[2:]]
    monkeypatch.setattr(sys, 'argv', command)
    convert_checkpoint.main()
    card = (folder / 'README.md').read_text()
    assert 'states no licence' in card and str(tmp_path) not in card
    for given in ((folder,), (None, folder)):
        assert predict(photo, *given)['rle'] == expected['rle']
    assert predict(photo, None, folder)['score'] == expected['score']


def test_another_injector_is_chosen_by_a_word(released, bert_dir, photo):
    edit = config_of_weights(released, 'edit', bert_dir)
    ldit = config_of_weights(released, 'ldit', bert_dir)
    first, second = (predict(photo, c, released) for c in (edit, ldit))
    assert first['rle'] != second['rle'] or first['score'] != second['score']


def test_files_of_the_authors_need_their_release_setting(
    released, bert_dir, photo
):
    cfg = config_of_weights(released, text_encoder=bert_dir)
    cfg.model.text_encoder.pop('num_layers')
    cfg.model.decode_head.align_corners = False
    with pytest.raises(ValueError, match='num_layers|missing') as raised:
        predict(photo, cfg, released)
    assert 'align_corners' in str(raised.value)


def test_options_without_effect_are_rejected(photo, capsys):
    options = ['--model', 'ldit_vith', '--injector', 'edit']
    assert segment([photo, 'red', *options]) == 1
    assert '--injector has no effect' in capsys.readouterr().err
    with pytest.raises(ValueError, match='neither a model nor weights'):
        ReferringSegInferencer(device='cpu')
