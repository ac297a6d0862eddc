"""The guides, each from its first block to its last."""

import shutil
import sys

import numpy as np
import pytest
from pages import ROOT, read_page, run_page
from PIL import Image

pytestmark = pytest.mark.slow

# Steps of every training, and what makes them short.
SHORTER = {'max_iters=1500': 'max_iters=1'}
ADDED = """
_small = dict(batch_size=2, num_workers=0, persistent_workers=False)
train_dataloader = {**locals().get('train_dataloader', {}), **_small}
val_dataloader = {**locals().get('val_dataloader', {}), **_small}
test_dataloader = val_dataloader
"""
GUIDES = {path.stem for path in (ROOT / 'docs/guides').glob('*.md')}


@pytest.fixture
def folder(tmp_path, tiny_data, small_encoder, monkeypatch):
    """Configs, data of one's own, a photo and a text encoder."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    shutil.copytree(tiny_data, tmp_path / 'data/own', symlinks=True)
    (tmp_path / 'roberta-base').symlink_to(small_encoder('roberta'))
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.jpg')
    modules = set(sys.modules)
    yield tmp_path
    for name in {*sys.modules} - modules:
        if name.startswith('own_'):
            del sys.modules[name]


@pytest.mark.parametrize('guide', sorted(GUIDES))
def test_every_block_of_a_guide_runs(guide, folder):
    text = read_page(f'guides/{guide}.md')
    for old, new in SHORTER.items():
        text = text.replace(old, new)
    run_page(text, folder, ADDED)
