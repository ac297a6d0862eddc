"""The commands of docs/tutorial_own_data.md, one after the other."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/tutorial_own_data.md'
# What makes the training short here.
SHORTER = {
    '--train 1500 --val 60': '--train 24 --val 5',
    'max_iters = 1500': 'max_iters = 4',
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder like the repository's, with a command ``mmdit``."""
    folder = tmp_path_factory.mktemp('tutorial')
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    command = folder / 'bin/mmdit'
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m mmdit "$@"\n')
    command.chmod(0o755)
    return folder


def read_blocks(language):
    text = PAGE.read_text()
    for old, new in SHORTER.items():
        assert old in text
        text = text.replace(old, new)
    return re.findall(rf'```{language}\n(.*?)```', text, re.S)


def test_every_command_runs(folder):
    config, python = read_blocks('python')
    (folder / 'own.py').write_text(config)
    blocks = read_blocks('bash')
    assert len(blocks) == 7
    env = {
        **os.environ,
        'PYTHONPATH': str(ROOT),
        'PATH': f'{folder / "bin"}:{Path(sys.executable).parent}:'
        + os.environ['PATH'],
    }
    commands = [('bash', '-euo', 'pipefail', '-c', block) for block in blocks]
    picture = 'data/drawn/images/train2014/COCO_train2014_000001000001.png'
    python = python.replace('photo.jpg', picture)
    commands.append((sys.executable, '-c', python))
    for command in commands:
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, (
            command[-1] + done.stdout[-3000:] + done.stderr[-5000:]
        )
    assert 0 <= float(done.stdout.split()[-1]) <= 1
    work_dir = folder / 'work_dirs/own'
    rows = json.loads((work_dir / 'results.json').read_text())
    assert len(list((work_dir / 'pictures').iterdir())) == len(rows) > 10
    assert 'data:image/webp' in (work_dir / 'report.html').read_text()
    answers = json.loads((work_dir / 'answers/predictions.json').read_text())
    assert [a['expression'] for a in answers] == [
        'the circle',
        'thing on the left',
    ]


def test_links_lead_somewhere():
    for name in ('tutorial_own_data', 'report', 'gallery', 'own_data'):
        page = ROOT / f'docs/{name}.md'
        for target in re.findall(r'\]\(([^)#]+)\)', page.read_text()):
            if not target.startswith('http'):
                assert (page.parent / target).exists(), (page, target)
