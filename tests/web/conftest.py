"""A small model, and the queries of a visitor."""

import pytest
from small_models import make_config, save_weights

from mmdit.apis import ReferringSegInferencer
from mmdit.web.session import open_image, query
from mmdit.web.store import SessionStore


class CountingInferencer(ReferringSegInferencer):
    """An inferencer that remembers its expressions."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.queries = []

    def __call__(self, images, expressions=None, **kwargs):
        self.queries.append(list(expressions))
        return super().__call__(images, expressions, **kwargs)


@pytest.fixture
def model(tiny_segmentor, tiny_refer, tmp_path):
    """A model with random weights that predictions in some way."""
    config = make_config(tiny_segmentor, tiny_refer)
    weights = save_weights(config, tmp_path / 'weights.pth')
    return CountingInferencer(config, weights, 'cpu', show_progress=False)


@pytest.fixture
def textless_model(tiny_segmentor, tiny_refer, tmp_path):
    """A model that takes points and boxes only, and gives three masks."""
    tiny_segmentor.update(text_encoder=None)
    tiny_segmentor['backbone'].update(text_injector=None)
    tiny_segmentor['decode_head'].update(multimask_output=True)
    config = make_config(tiny_segmentor, tiny_refer)
    weights = save_weights(config, tmp_path / 'textless.pth')
    return CountingInferencer(config, weights, 'cpu', show_progress=False)


@pytest.fixture
def opened(picture):
    """An image without predictions."""
    return open_image(picture, 'photo.png')


@pytest.fixture
def session(opened, model):
    """Two predictions for an image."""
    predicted = query(opened, 'the red circle\nblue', model)
    model.queries.clear()
    return predicted


@pytest.fixture
def store():
    """Where the page keeps its sessions."""
    return SessionStore()


@pytest.fixture
def serve_page(store, tmp_path, monkeypatch):
    """Serve the page of a model; return its address."""
    pytest.importorskip('gradio', reason='gradio is absent')
    # Analytics are off before Gradio is imported, as in the command.
    monkeypatch.setenv('GRADIO_ANALYTICS_ENABLED', 'False')
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path))
    from mmdit.web.folder import RunFolder
    from mmdit.web.page import build_page
    from mmdit.web.serving import serve

    folder, pages = RunFolder(tmp_path), []

    def serve_page(model):
        pages.append(build_page(model, 'a small model', store, folder))
        return serve(pages[-1], folder, quiet=True)

    yield serve_page
    for page in pages:
        page.close()


@pytest.fixture
def address(model, serve_page):
    """The address of a page that is being served."""
    return serve_page(model)
