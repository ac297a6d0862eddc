"""SAMViT in the real configs of MMSegmentation, MMDetection, MMPreTrain."""

import json
import os
import re
import sys
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path

import foreign
import pytest
import torch
from forked import fork, wait

ROOT = Path(__file__).parents[2]
# Where tools/run_tests.sh puts what mmdit itself does not need.
FOLDER = os.environ.get('MMDIT_NEIGHBOURS', f'{sys.prefix}/neighbours')
MODELS = dict(mmseg=5, mmdet=2, mmpretrain=2)


@pytest.fixture(scope='session')
def readme_configs():
    """The configs that the README shows, by project."""
    text = (ROOT / 'README.md').read_text('utf-8')
    section = text.split('## Borrow the encoder')[1].split('\n## ')[0]
    blocks = re.findall(r'```python\n(.*?)```', section, re.DOTALL)
    return dict(zip(MODELS, blocks, strict=True))


@pytest.fixture(scope='session')
def sam_file(tmp_path_factory):
    sys.path.insert(0, str(ROOT / 'tests' / 'checkpoints'))
    try:
        from small_checkpoints import make_sam
    finally:
        sys.path.pop(0)
    path = tmp_path_factory.mktemp('sam') / 'sam.pth'
    torch.save(make_sam(depth=4).state_dict(), path)
    return path


def run(folders, args):
    sys.path, sys.argv = folders, ['foreign.py', *args]
    foreign.main()


@pytest.mark.slow
@pytest.mark.parametrize('project', MODELS)
def test_it_trains_and_predicts_in(
    project, readme_configs, sam_file, tmp_path
):
    # MMSegmentation is in the environment itself.
    folders = [str(ROOT)] if project == 'mmseg' else [str(ROOT), FOLDER]
    folders += sys.path
    if PathFinder.find_spec(project, folders) is None:
        pytest.skip(f'{project} is not installed (tools/run_tests.sh)')
    config = tmp_path / 'readme.py'
    config.write_text(readme_configs[project])
    args = [project, str(config), str(sam_file), str(tmp_path)]
    # That mmdit is found where nothing imports it is seen in test_registry.
    log = tmp_path / 'log'
    child = fork(partial(run, folders, args), tmp_path, log)
    assert not wait(child), log.read_text()[-3000:]
    found = json.loads((tmp_path / 'found.json').read_text())
    assert len(found) == MODELS[project]
    # The README's learning rates decay by layer.
    assert found['README']['rates'] > 4
    for name, result in found.items():
        assert result['items'] == 2, name
        # SAM's weights, two small steps away, unless they are frozen.
        frozen = name in ('fcn_r50-d8.py', 'pspnet_r50-d8.py')
        assert (result['moved'] == 0) == frozen, name
        assert result['moved'] < 0.05, name
