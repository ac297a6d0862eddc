"""The hub, as far as its client."""

from fnmatch import fnmatch
from types import SimpleNamespace

import huggingface_hub
import pytest

from mmdit.hub import download, from_pretrained, push_to_hub, save_pretrained


class FakeApi:
    """Stands at the boundary: what would be sent is kept."""

    calls: list = []

    def __init__(self, token):
        self.calls.append(('token', token))

    def create_repo(self, repo_id, **options):
        self.calls.append(('create', repo_id, options))

        class Url(str):
            pass

        url = Url(f'https://hub/{repo_id}')
        url.repo_id = repo_id
        return url

    def upload_folder(self, **options):
        self.calls.append(('upload', SimpleNamespace(**options)))


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(huggingface_hub, 'HfApi', FakeApi)
    monkeypatch.setattr(FakeApi, 'calls', [])
    return FakeApi


def test_a_checked_folder_is_sent(config, model, tmp_path, api):
    folder = save_pretrained(model, config, tmp_path / 'model')
    (folder / 'notes.txt').write_text('private')
    (folder / 'onnx').mkdir()
    for name in ('text.onnx', 'mask.onnx.data', 'settings.json'):
        (folder / 'onnx' / name).touch()
    url = push_to_hub(folder, 'me/model', private=True, token='hf_x')
    assert url == 'https://hub/me/model'
    token, create, (_, sent) = api.calls
    assert token == ('token', 'hf_x')
    options = dict(private=True, exist_ok=True)
    assert create == ('create', 'me/model', options)
    assert sent.repo_id == 'me/model' and sent.folder_path == folder
    names = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob('*')
        if path.is_file()
    ]
    going = [
        name
        for name in names
        if any(fnmatch(name, p) for p in sent.allow_patterns)
    ]
    assert sorted(set(names) - set(going)) == ['notes.txt']


def test_an_incomplete_folder_is_not_sent(tmp_path, api):
    with pytest.raises(FileNotFoundError, match='save_pretrained'):
        push_to_hub(tmp_path, 'me/model')
    assert api.calls == []


def test_a_name_is_fetched(config, model, tmp_path, monkeypatch):
    folder = save_pretrained(model, config, tmp_path / 'model')
    requested = []

    def fetch(repo_id, **options):
        requested.append(repo_id)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', fetch)
    assert from_pretrained('me/model').text_encoder is not None
    assert requested == ['me/model']


def test_a_hub_out_of_reach_is_explained(monkeypatch):
    def fail(*_, **__):
        raise huggingface_hub.errors.LocalEntryNotFoundError('offline')

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', fail)
    with pytest.raises(FileNotFoundError, match="'me/model' is neither"):
        download('me/model')
