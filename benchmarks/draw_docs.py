"""Draw the documentation's figures: ``draw_docs.py``.

Run it where ``tools/quickstart.sh`` has left its model, from a clean checkout:
``docs/images/README.md`` then names the commit. Figures of the page and of
the report need Chromium and playwright.

Plots of measurements are not drawn here, but by what measures: ``speed.py``
(performance.png, memory.png), ``compare_variants.py`` (variants.png),
``late_text.py`` (late_text.png) and ``plot_soak.py`` (soak_*.png); their pages
name command and commit.
"""

import argparse
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmdit.datasets.synthref import Scene, draw_example, outline, render
from mmdit.runtime.drawing import (
    CASING,
    INK,
    PAPER,
    TRUTH_COLOR,
    draw_comparison,
    overlay_name,
    tint,
)

ROOT = Path(__file__).resolve().parents[1]
GAP = 12
WORDS = (
    'the red object',
    'the blue square',
    'the blue star',
    'the object on the left',
    'the object on the right',
    'the object at the top',
    'the object at the bottom',
    'the large object',
    'the blue object to the right of the triangle',
)


def tile(
    figures: Sequence[np.ndarray], columns: int, width: int
) -> np.ndarray:
    """Arrange (H, W, 3) uint8 figures in rows, each ``width`` pixels wide."""
    scaled = []
    for figure in figures:
        height = round(figure.shape[0] * width / figure.shape[1])
        way = cv2.INTER_AREA if width < figure.shape[1] else cv2.INTER_CUBIC
        scaled.append(cv2.resize(figure, (width, height), interpolation=way))
    rows = [scaled[i : i + columns] for i in range(0, len(scaled), columns)]
    heights = [max(len(figure) for figure in row) for row in rows]
    size = sum(heights) + GAP * len(rows), columns * (width + GAP) - GAP
    sheet = np.full((*size, 3), PAPER, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for i, figure in enumerate(row):
            left = i * (width + GAP)
            sheet[top : top + len(figure), left : left + width] = figure
        top += height + GAP
    return sheet[:-GAP]


def caption(figure: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """Write expressions below a figure, broken where it ends."""
    font = ImageFont.load_default(15)
    height, width = figure.shape[:2]
    broken = ['']
    for line in lines:
        for word in f'“{line}”'.split():
            longer = f'{broken[-1]} {word}'.strip()
            if font.getlength(longer) > width:
                broken.append(word)
            else:
                broken[-1] = longer
        broken.append('')
    canvas = Image.new('RGB', (width, height + 20 * len(broken)), PAPER)
    canvas.paste(Image.fromarray(figure), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for number, text in enumerate(broken):
        draw.text((0, height + 4 + 19 * number), text, INK, font)
    return np.asarray(canvas)


def draw_object(scene: Scene, number: int, lines: Sequence[str]) -> np.ndarray:
    """Draw a scene with the outline of an object and its expressions."""
    side = 240
    figure = render(scene, side).copy()
    mask = np.zeros((side, side), np.uint8)
    corners = outline(scene.objects[number]) * side
    cv2.fillPoly(mask, [corners.round().astype(np.int32)], 1)
    tint(figure, mask, TRUTH_COLOR, 0, CASING)
    return caption(figure, lines)


class Figures:
    """What each figure shows.

    Args:
        model: Folder that the quickstart has left.
    """

    def __init__(self, model: Path) -> None:
        self.model = model

    def synthref_64px(self) -> np.ndarray:
        """Scenes as the model sees them, twice as large."""
        scenes = [
            render(draw_example(0, 'train', index, level)[0], 64)
            for level in ('easy', 'crowded')
            for index in range(8)
        ]
        return tile(scenes, 8, 128)

    def synthref_gallery(self) -> np.ndarray:
        """Scenes of both levels with an expression each."""
        drawn = []
        for level in ('easy', 'crowded'):
            for index in range(4):
                scene, described = draw_example(0, 'val', index, level)
                number = next(i for i, said in enumerate(described) if said)
                said = described[number][0][1]
                drawn.append(draw_object(scene, number, [said]))
        return tile(drawn, 4, 240)

    def synthref_one_scene(self) -> np.ndarray:
        """One scene with all that is said of it."""
        scene, described = draw_example(0, 'val', 50)
        drawn = [
            draw_object(scene, number, [words for _, words in said])
            for number, said in enumerate(described)
        ]
        return tile(drawn, len(drawn), 240)

    def quickstart(self) -> np.ndarray:
        """Predictions at six percentiles of IoU."""
        rows = sorted(self._rows(), key=lambda row: row['iou'])
        places = [int(len(rows) * share / 100) for share in SHARES]
        return self._overlays([rows[place] for place in places], 2, 490)

    def gallery_first(self) -> np.ndarray:
        """The first twelve rows."""
        return self._overlays(self._rows()[:12], 3, 490)

    def gallery_worst(self) -> np.ndarray:
        """The nine scenes with the lowest IoUs."""
        lowest: dict[str, dict] = {}
        for row in sorted(self._rows(), key=lambda row: row['iou']):
            lowest.setdefault(row['img_path'], row)
        return self._overlays(list(lowest.values())[:9], 3, 490)

    def gallery_words(self) -> np.ndarray:
        """One scene and several expressions."""
        from mmdit.apis import ReferringSegInferencer

        scene, _ = draw_example(0, 'val', 13)
        image = render(scene, 64)
        model = ReferringSegInferencer(self.model, show_progress=False)
        found = model(Image.fromarray(image), list(WORDS))['predictions']
        drawn = [
            draw_comparison(image, row['expression'], prediction=row['mask'])
            for row in found
        ]
        return tile(drawn, 3, 460)

    def browse_dataset(self) -> np.ndarray:
        """What the tutorial's commands show in its fourth section."""
        page = (ROOT / 'docs/tutorial_own_data.md').read_text('utf-8')
        page = page[: page.index('## 5.')]
        (config, *_) = re.findall(r'```python\n(.*?)```', page, re.S)
        with TemporaryDirectory() as folder:
            for block in re.findall(r'```bash\n(.*?)```', page, re.S):
                run_shell(block, folder)
                if block.startswith('mmdit config '):
                    with Path(folder, 'own.py').open('a') as file:
                        file.write(config)
            sheet = Path(folder, 'work_dirs/own_items/sheet.png')
            return read_image(sheet)

    def report(self) -> np.ndarray:
        """The report's first screens, side by side."""
        with TemporaryDirectory() as folder:
            path = Path(folder, 'report.html')
            run_shell(
                f'mmdit report {self.model}/results.json --overlays '
                f'{self.model}/overlays --out {path} '
                '--names "L-DIT of the quickstart"',
                '.',
            )
            with open_tab(800, 900) as tab:
                tab.goto(path.as_uri())
                tab.wait_for_selector('.case img')
                words = 'By words of the expression'
                second = tab.locator('h2', has_text=words).first
                top = round(second.bounding_box()['y']) - 20
                shot = Path(folder, 'page.png')
                tab.screenshot(path=shot, full_page=True)
            page = read_image(shot)
        parts = page[:1150], page[top : top + 1150]
        return np.concatenate(parts, axis=1)

    def web(self) -> np.ndarray:
        """The page with three predictions."""
        command = [sys.executable, '-u', '-m', 'mmdit', 'web']
        server = subprocess.Popen(
            [*command, '--model', str(self.model)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        try:
            address = next(
                found[0]
                for line in server.stdout
                if (found := re.search(r'http://\S+', line))
            )
            with open_tab(1280, 940) as tab, TemporaryDirectory() as folder:
                tab.goto(address)
                tab.locator('#examples button img').nth(1).click()
                tab.wait_for_selector('#legend label')
                tab.wait_for_timeout(1000)
                tab.screenshot(path=Path(folder, 'page.png'))
                return read_image(Path(folder, 'page.png'))
        finally:
            server.terminate()
            server.wait()

    def _rows(self) -> list[dict]:
        return json.loads((self.model / 'results.json').read_text())

    def _overlays(
        self, rows: list[dict], columns: int, width: int
    ) -> np.ndarray:
        """Arrange what ``mmdit test --show-dir`` drew of rows."""
        names = [overlay_name(row['img_path'], row['sent_id']) for row in rows]
        drawn = [read_image(self.model / 'overlays' / n) for n in names]
        return tile(drawn, columns, width)


SHARES = (97, 85, 70, 50, 40, 10)
FIGURES: dict[str, Callable[[Figures], np.ndarray]] = {
    name: draw
    for name, draw in vars(Figures).items()
    if not name.startswith('_')
}


def read_image(path: Path) -> np.ndarray:
    """Return a figure as (H, W, 3) uint8, RGB."""
    return np.asarray(Image.open(path).convert('RGB'))


def run_shell(commands: str, folder: str) -> None:
    """Run commands as a page of the documentation has them."""
    python, root = sys.executable, ROOT
    setting = f'mmdit() {{ "{python}" -m mmdit "$@"; }}; set -e\n'
    setting += f'python() {{ "{python}" "$@"; }}; export PYTHONPATH="{root}"\n'
    subprocess.run(['bash', '-c', setting + commands], cwd=folder, check=True)


@contextmanager
def open_tab(width: int, height: int) -> Iterator[Any]:
    """Open a tab of Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which('chromium'), args=['--no-sandbox']
        )
        yield browser.new_page(viewport=dict(width=width, height=height))
        browser.close()


def write_method(out_dir: Path) -> None:
    """Draw the diagram of the method."""
    tool = ROOT / 'tools/analysis_tools/draw_method.py'
    with mock.patch('sys.argv', [str(tool), str(out_dir / 'method.svg')]):
        runpy.run_path(str(tool), run_name='__main__')


def describe(model: Path, names: Sequence[str]) -> str:
    """Say of what the figures are."""
    commit = subprocess.check_output(
        ['git', 'describe', '--always', '--dirty', '--exclude=*'],
        cwd=ROOT,
        text=True,
    ).strip()
    rows = json.loads((model / 'results.json').read_text())
    miou = 100 * np.mean([row['iou'] for row in rows])
    listed = '\n'.join(f'- `{name}`' for name in names)
    return (
        '# Figures\n\nDrawn by `python benchmarks/draw_docs.py` at commit '
        f'{commit}, of the model that `bash tools/quickstart.sh` trained: '
        f'mIoU {miou:.2f} on {len(rows)} expressions.\n\n{listed}\n\n'
        'Plots of measurements are drawn by what measures; the pages that '
        'show them name command and commit.\n'
    )


def main() -> None:
    """Draw the figures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'names', nargs='*', metavar='NAME', help=', '.join(FIGURES)
    )
    parser.add_argument(
        '--model', type=Path, default=Path('work_dirs/quickstart')
    )
    parser.add_argument('--out-dir', type=Path, default=ROOT / 'docs/images')
    args = parser.parse_args()
    if unknown := set(args.names) - set(FIGURES):
        parser.error(f'there is no {", ".join(unknown)}')
    figures = Figures(args.model)
    for name in args.names or FIGURES:
        drawn = Image.fromarray(FIGURES[name](figures))
        drawn.save(args.out_dir / f'{name}.png', optimize=True)
        print(f'{name}.png')
    if not args.names:
        write_method(args.out_dir)
        names = ['method.svg', *(f'{name}.png' for name in FIGURES)]
        (args.out_dir / 'README.md').write_text(describe(args.model, names))


if __name__ == '__main__':
    main()
