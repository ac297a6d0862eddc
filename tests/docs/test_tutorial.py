"""The commands of docs/tutorial_own_data.md, in a folder of nothing else."""

import json
import re

import cv2
import numpy as np
import pytest
from in_process import command_line
from pages import ROOT, read_blocks, read_page, run_line

pytestmark = pytest.mark.slow

# What makes the training short here.
SHORTER = {
    '--train 1500 --val 60': '--train 24 --val 5',
    'max_iters=1500': 'max_iters=4',
}


def add_photographs(data):
    """Add images of the size that photographs have, as a user would."""
    rng = np.random.default_rng(0)
    for name, (height, width) in dict(
        train=(375, 500), val=(500, 333)
    ).items():
        path = data / f'photo_{name}.jpg'
        pixels = rng.integers(0, 255, (height, width, 3), np.uint8)
        cv2.imwrite(str(path), pixels)
        box = [[40, 50, 200, 50, 200, 300, 40, 300]]
        row = dict(image=path.name, expression='the circle', mask=box)
        with open(data / f'{name}.jsonl', 'a') as file:
            file.writelines([json.dumps(row) + '\n'] * 3)


def test_every_command_runs(tmp_path):
    folder = tmp_path
    page = read_page('tutorial_own_data.md', SHORTER)
    config, python = read_blocks(page, 'python')
    blocks = read_blocks(page, 'bash')
    assert len(blocks) == 8
    for number, block in enumerate(blocks):
        for line in block.splitlines():
            run_line(line, folder)
        if block.startswith('mmdit config '):
            with open(folder / 'own.py', 'a') as file:
                file.write(config)
        if number == 0:
            add_photographs(folder / 'data/own')
    image = 'data/drawn/images/train2014/COCO_train2014_000001000001.png'
    with command_line(folder, 'python') as printed:
        exec(python.replace('photo.jpg', image), {})
    assert 0 <= float(printed.getvalue().split()[-1]) <= 1
    work_dir = folder / 'work_dirs/own'
    rows = json.loads((work_dir / 'results.json').read_text())
    assert len(list((work_dir / 'overlays').iterdir())) == len(rows) > 10
    assert sum('photo' in row['img_path'] for row in rows) == 3
    assert 'data:image/webp' in (work_dir / 'report.html').read_text()
    written = work_dir / 'predictions/predictions.json'
    assert [p['expression'] for p in json.loads(written.read_text())] == [
        'the circle',
        'thing on the left',
    ]


def test_links_lead_somewhere():
    for name in ('tutorial_own_data', 'report', 'gallery', 'own_data'):
        page = ROOT / f'docs/{name}.md'
        for target in re.findall(r'\]\(([^)#]+)\)', page.read_text()):
            if not target.startswith('http'):
                assert (page.parent / target).exists(), (page, target)
