"""A model written and read back is the same model."""

import json
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdit.apis import ReferringSegInferencer
from mmdit.hub import from_pretrained, save_pretrained
from mmdit.registry import MODELS

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
EXPRESSIONS = ['Red circle', 'the big UNKNOWN square']


def predict(*args):
    inferencer = ReferringSegInferencer(*args, device='cpu')
    return inferencer.probabilities(PICTURE, EXPRESSIONS)


@pytest.mark.parametrize('source', ['vocab_file', 'directory'])
def test_weights_and_answers_are_equal_wherever_the_folder_is(
    config, model, source, bert_dir, tmp_path
):
    if source == 'directory':
        config.model.text_encoder = dict(
            type='mmdit.BertTextEncoder', pretrained=bert_dir, max_tokens=6
        )
        model = MODELS.build(config.model).eval()
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    expected = predict(config, tmp_path / 'weights.pth')
    save_pretrained(model, config, tmp_path / 'first')
    shutil.move(tmp_path / 'first', tmp_path / 'second')
    for path in (tmp_path / 'second').rglob('*.*'):
        if path.suffix in ('.json', '.md'):
            text = path.read_text(encoding='utf-8')
            assert str(tmp_path) not in text and '/home/me' not in text
    loaded = from_pretrained(tmp_path / 'second')
    assert not loaded.training
    assert loaded.cfg.test_dataloader.batch_size == 3
    for key, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key]), key
    assert np.array_equal(predict(tmp_path / 'second'), expected)


def test_a_model_without_text_is_saved_too(config, tmp_path):
    config.model.text_encoder = None
    config.model.backbone.text_injector = None
    model = MODELS.build(config.model)
    save_pretrained(model, config, tmp_path / 'sam')
    assert not (tmp_path / 'sam' / 'text_encoder').exists()
    loaded = from_pretrained(tmp_path / 'sam')
    assert loaded.text_encoder is None


def test_nothing_is_overwritten(config, model, tmp_path):
    (tmp_path / 'precious.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not empty'):
        save_pretrained(model, config, tmp_path)


def test_a_folder_cannot_name_files_elsewhere(config, model, tmp_path):
    folder = save_pretrained(model, config, tmp_path / 'model')
    content = json.loads((folder / 'config.json').read_text())
    content['model']['text_encoder']['pretrained'] = '../../secret'
    (folder / 'config.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='secret.*the folder beside it'):
        from_pretrained(folder)


def test_missing_parts_are_named(config, model, tmp_path):
    folder = save_pretrained(model, config, tmp_path / 'model')
    shutil.rmtree(folder / 'text_encoder')
    with pytest.raises(FileNotFoundError, match='text_encoder'):
        from_pretrained(folder)
    (folder / 'model.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match='save_pretrained'):
        from_pretrained(folder)


def test_other_weights_are_rejected(config, model, tmp_path):
    folder = save_pretrained(model, config, tmp_path / 'model')
    other = Config(json.loads((folder / 'config.json').read_text()))
    other.model.decode_head.mlp_dims = 48
    (folder / 'config.json').write_text(json.dumps(other.to_dict()))
    with pytest.raises(ValueError, match='another size: .*mlp'):
        from_pretrained(folder)
