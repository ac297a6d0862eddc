"""Weights of a published kind suffice: their config follows from them."""

import argparse
import json
import sys

import numpy as np
import pytest
from in_process import call_mmdit
from PIL import Image
from small_released import save_released

from mmdit.apis import ReferringSegInferencer
from mmdit.apis.models import config_of_weights
from mmdit.cli import convert, export, web
from mmdit.cli import segment as segment_command
from mmdit.cli.naming import choose_model, load_model
from mmdit.cli.segment import main as segment

EXPRESSION = 'the red circle'


@pytest.fixture(scope='module')
def released(bert_dir, tmp_path_factory):
    """A file in the authors' format, of a small encoder."""
    path = tmp_path_factory.mktemp('released') / 'det_best.pth'
    return save_released(bert_dir, path)


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

    folder = tmp_path / 'folder'
    command = ['convert', released, str(folder), *options[2:]]
    monkeypatch.setattr(sys, 'argv', command)
    convert.main()
    card = (folder / 'README.md').read_text()
    assert 'states no license' in card and str(tmp_path) not in card
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


def test_every_door_names_a_model_alike(released, bert_dir, monkeypatch):
    names = ['--weights', released, '--text-encoder', bert_dir]
    monkeypatch.setattr(sys, 'argv', ['export', *names, '--out', 'out'])
    parsed = [export.parse_args()]
    for command, given in ((segment_command, ['photo.jpg']), (web, [])):
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        parsed.append(parser.parse_args([*given, *names]))
    # By place, as config and weights.
    monkeypatch.setattr(sys, 'argv', ['export', 'a.py', 'b.pth', '--out=out'])
    placed = export.parse_args()
    assert choose_model(placed) == ('a.py', 'b.pth')
    placed.weights = 'c.pth'
    with pytest.raises(ValueError, match='both name the weights; give one'):
        choose_model(placed)
    (first, *others) = [load_model(args, 'cpu') for args in parsed]
    assert first.model.text_encoder.pretrained == bert_dir
    for other in others:
        assert other.fingerprint() == first.fingerprint()


def test_weights_alone_are_scored(released, bert_dir, tiny_refer, tmp_path):
    loader = dict(num_workers=0, persistent_workers=False)
    options = [f'test_dataloader.{k}={v}' for k, v in loader.items()]
    call_mmdit(
        tmp_path,
        *('test', '--weights', released, '--text-encoder', bert_dir),
        *('--out', 'rows.json', '--cfg-options', *options),
        f'test_dataloader.dataset.data_root={tiny_refer}',
    )
    rows = json.loads((tmp_path / 'rows.json').read_text())
    assert [row['expression'] for row in rows] == [
        'square',
        'bright square',
        'pieces',
    ]
    assert all(0 <= row['iou'] <= 1 for row in rows)
