"""One exported model for several tests."""

from copy import deepcopy

import pytest
import torch
from exported_models import RESIZE, build_model, make_config

from mmdit.apis import ReferringSegInferencer
from mmdit.export.folder import export_model


@pytest.fixture(scope='session')
def inferencer(shared_segmentor, tmp_path_factory):
    """The model itself."""
    segmentor = deepcopy(shared_segmentor)
    segmentor['decode_head']['num_layers'] = 1
    config = make_config(segmentor, RESIZE)
    path = tmp_path_factory.mktemp('weights') / 'weights.pth'
    torch.save(build_model(config.model).state_dict(), path)
    return ReferringSegInferencer(config, path, 'cpu', show_progress=False)


@pytest.fixture(scope='session')
def exported(inferencer, fill_once):
    """The folder that it was exported to."""
    model = inferencer.model, inferencer.cfg
    return fill_once(
        'exported', lambda folder: export_model(*model, folder, int8=True)
    )
