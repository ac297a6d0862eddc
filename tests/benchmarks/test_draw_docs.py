"""benchmarks/draw_docs.py."""

import re
from pathlib import Path

import draw_docs
import numpy as np

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')]
# Drawn by what measures; their pages name command and commit.
MEASURED = {'memory', 'performance', 'variants'}


def test_every_picture_of_the_pages_comes_from_it_or_a_measurement():
    shown = {
        Path(target).stem
        for page in PAGES
        for target in re.findall(r'!\[[^\]]*\]\(([^)]+)\)', page.read_text())
    }
    measured = {n for n in shown if n.startswith('soak_')} | MEASURED
    assert shown - measured == {*draw_docs.PICTURES, 'method'}
    kept = {
        path.stem
        for path in (ROOT / 'docs/images').iterdir()
        if path.suffix in ('.png', '.svg')
    }
    assert kept == shown


def test_pictures_of_any_size_are_tiled():
    pictures = [np.zeros((10, 20, 3), np.uint8)] * 2
    pictures.append(np.zeros((30, 20, 3), np.uint8))
    sheet = draw_docs.tile(pictures, 2, 40)
    assert sheet.shape == (20 + draw_docs.GAP + 60, 80 + draw_docs.GAP, 3)
    assert not sheet[:20, :40].any() and (sheet[:20, 40:52] == 255).all()


def test_scenes_need_no_model():
    pictures = draw_docs.Pictures(Path('nowhere'))
    assert pictures.synthref_64px().shape[2] == 3
    assert pictures.synthref_one_scene().any()
