"""What a wheel and an editable install carry, and that the former works."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_released import save_released

from mmdit import quiet

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
CONFIG = 'ldit_sam-vit-b_4xb16-40e_refcoco-512x512'
# From weights or annotations of others to a mask, in an empty folder.
COMMANDS = """
segment photo.png red --weights released.pth --text-encoder bert --out-dir a
convert released.pth folder --text-encoder bert
segment photo.png red --model folder --out-dir b --format coco polygons ids
synthref drawn --train 4 --val 2
refer2jsonl drawn data/own/train.jsonl
refer2jsonl drawn data/own/val.jsonl --split val
check-data data/own/train.jsonl data/own/val.jsonl
convert-data masks masks made.jsonl
check-data made.jsonl
build-vocab data/own/train.jsonl data/own/vocab.txt
config ldit_tiny_jsonl-128x128 own.py
browse-data own.py --number 2 --out-dir items
train own.py --work-dir run --cfg-options train_cfg.max_iters=1
segment photo.png circle --model run --out-dir c
train imports.py --work-dir imported
segment photo.png circle --model imported --out-dir d
"""
# A config of another project, in MMEngine's two styles.
IMPORTS = """
from mmengine.config import read_base
with read_base():
    from mmdit.configs.own.ldit_tiny_jsonl_128x128 import *
train_cfg.update(max_iters=1)
train_dataloader.update(num_workers=0, persistent_workers=True)
"""
# One section of it, in another scope.
SECTION = """
from mmengine.config import read_base
with read_base():
    from mmdit.configs._base_.models.sam_vit_tiny import model
default_scope = 'mmseg'
model.update(_scope_='mmdit')
model.text_encoder.update(vocab_file='data/own/vocab.txt')
"""
INHERITS = """
_base_ = str(
    __import__('mmdit.resources').resources.resolve_config(
        'ldit_tiny_jsonl-128x128'
    )
)
train_cfg = dict(max_iters=1)
train_dataloader = dict(num_workers=0, persistent_workers=True)
"""
READ = """
from pathlib import Path
import mmdit
from mmengine.config import Config
package = Path(mmdit.__file__).parent
def check(path, other):
    one, other = Config.fromfile(path), Config.fromfile(other)
    assert one.to_dict() == other.to_dict(), path
    return one
assert check('imports.py', 'inherits.py').train_cfg.max_iters == 1
for source in sorted(package.glob('.mim/configs/*/**/*.py'))[::7]:
    path = source.relative_to(package / '.mim').with_suffix('').as_posix()
    name = path.replace('+', 'plus').replace('-', '_').replace('/', '.')
    lines = Path('imports.py').read_text().split('    ')
    Path('all.py').write_text(f'{lines[0]}    from mmdit.{name} import *')
    check('all.py', source)
    print(name)
"""
RUN = """
import sys
import mmdit
from yapf.yapflib import yapf_api
# MMEngine's, which is half the time of a short training.
yapf_api.FormatCode = lambda text, **_: (text, True)
from mmdit.cli.main import main
from mmdit.resources import resolve_config
print(resolve_config("CONFIG"))
assert mmdit.__file__.startswith(sys.argv[1]), mmdit.__file__
for line in sys.stdin.read().split(chr(10)):
    if line.split() and main(line.split()) != 0:
        sys.exit(line)
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
cfg = Config.fromfile('section.py')
with DefaultScope.overwrite_default_scope(cfg.default_scope):
    assert type(MODELS.build(cfg.model)).__name__ == 'ReferringSegmentor'
MODELS.build(dict(type='mmseg.CrossEntropyLoss', use_sigmoid=True))
import warnings
warnings.warn('of the user')
""".replace('CONFIG', CONFIG)
SHIPPED = ('configs', 'demo', 'tools', 'model-index.yml')


def files_below(folder, names):
    """Return the paths of all files, without byte code and what is built."""
    paths = [folder / name for name in names]
    paths += [path for name in names for path in (folder / name).rglob('*')]
    relative = [path.relative_to(folder) for path in paths if path.is_file()]
    return {
        path.as_posix()
        for path in relative
        if path.suffix != '.pyc'
        and path.parts[:2] not in (('mmdit', '.mim'), ('mmdit', 'configs'))
    }


def run(command, cwd, stdin=None, **env):
    result = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    # Other warnings are shown, but those of no use. Here, because pytest has
    # filters of its own, and mmcv warns once, when it is first imported.
    assert ('of the user' in result.stderr) == (RUN in command)
    for start in quiet.WARNINGS:
        assert not re.search(start, result.stderr), result.stderr
    return result.stdout


@pytest.fixture
def checkout(tmp_path):
    """A copy that a build may write into."""
    checkout = tmp_path / 'checkout'
    ignored = shutil.ignore_patterns('__pycache__', '.*', '*.egg-info')
    for path in ROOT.iterdir():
        if path.name in ('mmdit', 'requirements', *SHIPPED) and path.is_dir():
            shutil.copytree(path, checkout / path.name, ignore=ignored)
    for name in ('MANIFEST.in', 'README.md', 'model-index.yml', 'LICENSE'):
        shutil.copy(ROOT / name, checkout)
    for name in ('pyproject.toml', 'requirements.txt', 'setup.py'):
        shutil.copy(ROOT / name, checkout)
    return checkout


@pytest.fixture
def elsewhere(tmp_path, bert_dir):
    """A folder with what a user has: weights, BERT, a photo, masks."""
    elsewhere = tmp_path / 'elsewhere'
    for folder in ('masks/images', 'masks/masks'):
        (elsewhere / folder).mkdir(parents=True)
    save_released(bert_dir, elsewhere / 'released.pth')
    shutil.copytree(bert_dir, elsewhere / 'bert')
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    for name in ('photo.png', 'masks/images/1.png'):
        cv2.imwrite(str(elsewhere / name), pixels)
    cv2.imwrite(str(elsewhere / 'masks/masks/1.png'), pixels[..., 0] & 128)
    table = 'image,expression\n1.png,the man in red\n'
    (elsewhere / 'masks/said.csv').write_text(table)
    (elsewhere / 'imports.py').write_text(IMPORTS)
    (elsewhere / 'section.py').write_text(SECTION)
    (elsewhere / 'inherits.py').write_text(INHERITS)
    return elsewhere


def test_a_wheel_from_an_sdist_works_in_any_folder(
    checkout, elsewhere, tmp_path
):
    run(['setup.py', '-q', 'sdist', '-d', tmp_path], checkout, PYTHONPATH='')
    (sdist,) = tmp_path.glob('*.tar.gz')
    pip = ['-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    run([*pip, '-w', tmp_path, sdist], tmp_path, PYTHONPATH='')
    (wheel,) = tmp_path.glob('*.whl')
    site = tmp_path / 'site'
    zipfile.ZipFile(wheel).extractall(site)
    mim = site / 'mmdit/.mim'
    assert files_below(mim, SHIPPED) == files_below(ROOT, SHIPPED)
    assert files_below(site, ['mmdit']) == files_below(ROOT, ['mmdit'])
    printed = run(['-c', RUN, site], elsewhere, COMMANDS, PYTHONPATH=str(site))
    found, _ = printed.split('\n', 1)
    assert Path(found) == mim / f'configs/dit/{CONFIG}.py'
    first, second = (
        json.loads((elsewhere / name / 'predictions.json').read_text())
        for name in 'ab'
    )
    assert first[0]['rle'] == second[0]['rle']
    assert (elsewhere / 'c/predictions.json').is_file()
    assert (elsewhere / 'd/predictions.json').is_file()
    read = run(['-c', READ], elsewhere, PYTHONPATH=str(site)).split()
    assert len(read) > 8
    sources = list((ROOT / 'configs').glob('*/**/*.py'))
    assert len(list((site / 'mmdit/configs').rglob('*.py'))) == len(sources)


def test_an_editable_install_gets_links(checkout, elsewhere, tmp_path):
    command = ['-m', 'pip', 'install', '--no-deps', '--no-build-isolation']
    command += ['--target', tmp_path / 'site', '-e', checkout]
    run(command, tmp_path, PYTHONPATH='')
    for name in SHIPPED:
        link = checkout / 'mmdit/.mim' / name
        assert link.is_symlink() and link.samefile(checkout / name)
    scripts = (tmp_path / 'site').rglob('entry_points.txt')
    assert 'mmdit = mmdit.cli.main:main' in next(scripts).read_text()
    assert run(['-c', READ], elsewhere, PYTHONPATH=str(checkout))
