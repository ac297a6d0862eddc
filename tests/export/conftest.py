"""One exported model for several tests."""

from copy import deepcopy

import pytest
import torch
from exported_models import RESIZE, build_model, make_config
from in_process import call_mmdit

from mmdit.apis import ReferringSegInferencer


@pytest.fixture(scope='session')
def files(shared_segmentor, tmp_path_factory):
    """A folder with model.py and weights.pth."""
    segmentor = deepcopy(shared_segmentor)
    segmentor['decode_head']['num_layers'] = 1
    config = make_config(segmentor, RESIZE)
    folder = tmp_path_factory.mktemp('files')
    torch.save(build_model(config.model).state_dict(), folder / 'weights.pth')
    config.dump(folder / 'model.py')
    return folder


@pytest.fixture(scope='session')
def inferencer(files):
    """The model itself."""
    return ReferringSegInferencer(
        str(files / 'model.py'),
        str(files / 'weights.pth'),
        'cpu',
        show_progress=False,
    )


@pytest.fixture(scope='session')
def exported(files, fill_once):
    """The folder that a command exported it to, and what that printed."""

    def export(folder):
        args = ['model.py', 'weights.pth', '--out-dir', folder]
        args += ['--format', 'both', '--int8', '--verify']
        printed = call_mmdit(files, 'export', *args)
        (folder / 'printed.txt').write_text(printed)

    return fill_once('exported', export)
