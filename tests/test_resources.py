from pathlib import Path

import pytest

from mmdit.resources import find_resource, list_configs, resolve_config

ROOT = Path(__file__).parents[1]
NAME = 'ldit_sam-vit-b_4xb16-40e_refcoco-512x512'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in a folder that has nothing to do with the repository."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    'name', [NAME, f'{NAME}.py', f'configs/dit/{NAME}.py']
)
def test_a_config_is_found_from_any_folder(name):
    assert resolve_config(name).samefile(ROOT / f'configs/dit/{NAME}.py')


def test_names_are_unique():
    files = [
        path
        for path in (ROOT / 'configs').rglob('*.py')
        if '_base_' not in path.parts
    ]
    configs = list_configs()
    assert len(files) == len(configs) > 40
    assert all(resolve_config(name) == configs[name] for name in configs)


def test_a_file_of_the_user_comes_first(tmp_path):
    own = tmp_path / f'configs/dit/{NAME}.py'
    own.parent.mkdir(parents=True)
    own.touch()
    assert resolve_config(f'configs/dit/{NAME}.py').samefile(own)
    assert resolve_config(own) == own
    assert not resolve_config(NAME).samefile(own)


def test_an_unknown_config_gets_the_nearest_names():
    with pytest.raises(FileNotFoundError, match=f'did you mean .*{NAME}'):
        resolve_config(NAME.replace('ldit', 'lditt'))
    with pytest.raises(FileNotFoundError, match="'/no/such.py' does not") as e:
        resolve_config('/no/such.py')
    assert 'did you mean' not in str(e.value)


def test_a_tool_is_found_and_others_are_rejected_by_name():
    index = 'model-index.yml'
    assert find_resource(index).samefile(ROOT / index)
    with pytest.raises(FileNotFoundError, match="'modell.yml'"):
        find_resource('modell.yml')
