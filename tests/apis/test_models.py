"""From a model's name to its config and weights."""

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import save_file

from mmdit.apis import ReferringSegInferencer
from mmdit.apis.models import load_config

NAME = 'ldit_tiny_synthref-64x64'


def test_a_config_is_found_by_its_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg, weights = load_config(NAME)
    assert cfg.model.type == 'ReferringSegmentor'
    assert weights is None
    assert load_config(cfg)[0] is cfg


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(FileNotFoundError, match=f'did you mean.*{NAME}'):
        load_config('ldit_tinny_synthref-64x64')
    with pytest.raises(TypeError, match='model is a int'):
        load_config(3)


def test_a_training_folder_brings_its_last_checkpoint(
    config, weights, tmp_path
):
    folder = tmp_path / 'run'
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match='0 configs and no checkpoint'):
        load_config(folder)
    config.dump(folder / 'small.py')
    torch.save(torch.load(weights), folder / 'iter_2.pth')
    # The path may be that of the machine that trained.
    (folder / 'last_checkpoint').write_text('/elsewhere/run/iter_2.pth')
    inferencer = ReferringSegInferencer(folder, device='cpu')
    expected = torch.load(weights)['state_dict']
    for key, value in inferencer.model.state_dict().items():
        assert torch.equal(value, expected[key])


def test_random_weights_are_rejected(config, weights, picture):
    with pytest.raises(ValueError, match='no weights: predictions'):
        ReferringSegInferencer(config)
    config.load_from = weights
    inferencer = ReferringSegInferencer(config, device='cpu')
    assert inferencer(picture, 'red')['predictions']


def test_weights_may_be_safetensors_and_must_fit(config, weights, tmp_path):
    tensors = torch.load(weights)['state_dict']
    path = tmp_path / 'model.safetensors'
    save_file(tensors, path)
    assert ReferringSegInferencer(config, path, 'cpu')
    tensors.pop('backbone.pos_embed')
    save_file(tensors, path)
    with pytest.raises(ValueError, match='missing: backbone.pos_embed'):
        ReferringSegInferencer(config, path, 'cpu')
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        ReferringSegInferencer(config, 'nowhere.pth', 'cpu')


def test_code_in_a_checkpoint_is_never_run(config, tmp_path):
    class Untrusted:
        def __reduce__(self):
            return open, (str(tmp_path / 'ran'), 'w')

    path = tmp_path / 'untrusted.pth'
    torch.save(dict(state_dict=Untrusted()), path)
    with pytest.raises(ValueError, match='is rejected'):
        ReferringSegInferencer(config, path, 'cpu')
    assert not (tmp_path / 'ran').exists()


def test_a_device_that_is_not_here_is_named(config, weights):
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    with pytest.raises(ValueError, match="'cuda:0' cannot be used here"):
        ReferringSegInferencer(config, weights, 'cuda:0')


def test_sam_without_text_starts_from_its_own_weights(
    config, weights, tmp_path
):
    config.model.text_encoder = config.model.backbone.text_injector = None
    tensors = {
        key: value
        for key, value in torch.load(weights)['state_dict'].items()
        if 'text_' not in key
    }
    torch.save(tensors, tmp_path / 'sam.pth')
    config.model.init_cfg = dict(
        type='mmdit.SAMPretrained', checkpoint=str(tmp_path / 'sam.pth')
    )
    inferencer = ReferringSegInferencer(Config(config.to_dict()), None, 'cpu')
    for key, value in inferencer.model.state_dict().items():
        assert torch.equal(value, tensors[key])
