"""benchmarks/draw_docs.py."""

import re
from pathlib import Path

import draw_docs
import numpy as np

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')]
# Drawn by what measures; their pages name command and commit.
MEASURED = {'late_text', 'memory', 'performance', 'variants'}


def test_every_figure_of_the_pages_comes_from_it_or_a_measurement():
    shown = {
        Path(target).stem
        for page in PAGES
        for target in re.findall(r'!\[[^\]]*\]\(([^)]+)\)', page.read_text())
    }
    measured = {n for n in shown if n.startswith('soak_')} | MEASURED
    assert shown - measured == {*draw_docs.FIGURES, 'method'}
    kept = {
        path.stem
        for path in (ROOT / 'docs/images').iterdir()
        if path.suffix in ('.png', '.svg')
    }
    assert kept == shown


def test_figures_of_any_size_are_tiled():
    figures = [np.zeros((10, 20, 3), np.uint8)] * 2
    figures.append(np.zeros((30, 20, 3), np.uint8))
    sheet = draw_docs.tile(figures, 2, 40)
    assert sheet.shape == (20 + draw_docs.GAP + 60, 80 + draw_docs.GAP, 3)
    assert not sheet[:20, :40].any() and (sheet[:20, 40:52] == 255).all()


def test_scenes_need_no_model():
    figures = draw_docs.Figures(Path('nowhere'))
    assert figures.synthref_64px().shape[2] == 3
    assert figures.synthref_one_scene().any()
