"""One exported model that several tests ask."""

from copy import deepcopy

import pytest
import torch
from exported_models import RESIZE, build_model, make_config

from mmdit.apis import ReferringSegInferencer
from mmdit.export.folder import export_model


@pytest.fixture(scope='session')
def inferencer(shared_segmentor, tmp_path_factory):
    """The model itself."""
    config = make_config(deepcopy(shared_segmentor), RESIZE)
    path = tmp_path_factory.mktemp('weights') / 'weights.pth'
    torch.save(build_model(config.model).state_dict(), path)
    return ReferringSegInferencer(config, path, 'cpu', show_progress=False)


@pytest.fixture(scope='session')
def exported(inferencer, tmp_path_factory):
    """The folder that it was exported to."""
    folder = tmp_path_factory.mktemp('exported')
    export_model(inferencer.model, inferencer.cfg, folder)
    return folder
