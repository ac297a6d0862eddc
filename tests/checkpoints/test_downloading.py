"""Weights of URLs: each URL has a file of its own, and only whole ones."""

from functools import partial
from http.server import SimpleHTTPRequestHandler

import pytest
import torch
from mmengine.runner import load_checkpoint
from safetensors.torch import save_file
from serving import serve

from mmdit import downloads
from mmdit.checkpoints.files import cached_path, read_state_dict


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder, its URL, the paths that were requested, and PyTorch's cache.

    The server breaks off in the middle of ``half.pth``.
    """
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(downloads, 'PAUSE', 0)
    folder = tmp_path / 'site'
    folder.mkdir()
    requested = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            super().do_GET()

        def copyfile(self, source, outputfile):
            content = source.read()
            half = 'half' in self.path
            outputfile.write(content[: len(content) // (1 + half)])

        def log_message(self, *_):
            pass

    with serve(partial(Handler, directory=folder)) as url:
        yield folder, url, requested, tmp_path / 'cache/hub/checkpoints'


def save(path, value):
    path.parent.mkdir(exist_ok=True)
    content = dict(slope=torch.full((1,), float(value)))
    if path.suffix == '.safetensors':
        save_file(content, path)
    else:
        torch.save(content, path)


@pytest.mark.parametrize(
    'name', ['best.pth', 'model.safetensors', 'sam_vit_b_01ec64.pth']
)
def test_one_file_name_at_two_places_is_two_files(site, safe, name):
    folder, url, requested, _ = site
    model = torch.nn.Module()
    model.slope = torch.nn.Parameter(torch.zeros(1))
    for value, place in enumerate('abab', 1):
        if value < 3:
            save(folder / place / name, value)
        load_checkpoint(model, f'{url}/{place}/{name}')
        assert model.slope.item() == 'ab'.index(place) + 1
    # The query belongs to the URL, and each is requested once.
    load_checkpoint(model, f'{url}/a/{name}?revision=2')
    assert requested == [f'/a/{name}', f'/b/{name}', f'/a/{name}?revision=2']


def test_half_a_download_is_none(site):
    folder, url, _, cache = site
    save(folder / 'half.pth', 1)
    for _ in range(2):
        with pytest.raises(
            OSError, match=r'half\.pth cannot be fetched: .*en'
        ):
            read_state_dict(f'{url}/half.pth')
        # What has come is kept, for the next try to go on from.
        kept = {path.suffix for path in cache.iterdir()}
        assert kept == {'.part', '.of'}
    with pytest.raises(OSError, match=r'gone\.pth cannot be fetched: .*404'):
        read_state_dict(f'{url}/gone.pth')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'<!DOCTYPE html><html>Log in</html>', 'is a web page'),
        (
            b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n',
            'is a pointer of git-LFS',
        ),
    ],
)
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors', ''])
def test_what_stands_for_weights_is_named(site, content, message, suffix):
    folder, url, _, cache = site
    path = folder / f'best{suffix}'
    path.write_bytes(content)
    for location in (f'{url}/best{suffix}', str(path)):
        with pytest.raises(ValueError, match=message) as error:
            read_state_dict(location)
        assert location in str(error.value)
    assert not list(cache.iterdir())
    # As a clone without git-LFS leaves it.
    path.rename(folder / 'model.safetensors')
    with pytest.raises(ValueError, match=message):
        read_state_dict(str(folder))


def test_the_cache_keeps_the_suffix_and_bounds_the_name(site):
    path = cached_path('https://example.org/' + '\U0001f600' * 99 + '.pth')
    assert path.suffix == '.pth'
    assert len(path.name.encode()) < 210
