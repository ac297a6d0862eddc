"""A small model, and what a visitor has asked it about a picture."""

import pytest
from small_models import make_config, save_weights

from mmdit.apis import ReferringSegInferencer
from mmdit.web.session import ask, open_picture
from mmdit.web.store import SessionStore


class CountingInferencer(ReferringSegInferencer):
    """An inferencer that remembers the expressions it was asked."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.asked = []

    def __call__(self, images, expressions=None, **kwargs):
        self.asked.append(list(expressions))
        return super().__call__(images, expressions, **kwargs)


@pytest.fixture
def model(tiny_segmentor, tiny_refer, tmp_path):
    """A model with random weights that answers in some way."""
    config = make_config(tiny_segmentor, tiny_refer)
    weights = save_weights(config, tmp_path / 'weights.pth')
    return CountingInferencer(config, weights, 'cpu', show_progress=False)


@pytest.fixture
def session(picture, model):
    """Two answers about a picture."""
    opened = open_picture(picture, 'photo.png')
    answered = ask(opened, 'the red circle\nblue', model)
    model.asked.clear()
    return answered


@pytest.fixture
def store():
    """Where the page keeps its sessions."""
    return SessionStore()


@pytest.fixture
def address(model, store, tmp_path, monkeypatch):
    """The address of a page that is being served."""
    pytest.importorskip('gradio', reason='gradio is absent')
    # Analytics are off before Gradio is imported, as in the command.
    monkeypatch.setenv('GRADIO_ANALYTICS_ENABLED', 'False')
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path))
    from mmdit.web.folder import RunFolder
    from mmdit.web.page import build_page
    from mmdit.web.serving import serve

    folder = RunFolder(tmp_path)
    page = build_page(model, 'a small model', store, folder)
    yield serve(page, folder, quiet=True)
    page.close()
