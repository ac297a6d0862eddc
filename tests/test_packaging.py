"""What a wheel and an editable install carry, and that the former works."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
CONFIG = 'ldit_sam-vit-b_4xb16-40e_refcoco-512x512'
SHIPPED = ('configs', 'demo', 'tools', 'model-index.yml')


def files_below(folder, names):
    """Return the paths of all files, without byte code and resources."""
    paths = [folder / name for name in names]
    paths += [path for name in names for path in (folder / name).rglob('*')]
    relative = [path.relative_to(folder) for path in paths if path.is_file()]
    return {
        path.as_posix()
        for path in relative
        if path.suffix != '.pyc' and '.mim' not in path.parts
    }


def run(command, cwd, **env):
    result = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
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


def test_a_wheel_from_an_sdist_works_in_any_folder(checkout, tmp_path):
    run(['setup.py', '-q', 'sdist', '-d', tmp_path], checkout, PYTHONPATH='')
    (sdist,) = tmp_path.glob('*.tar.gz')
    pip = ['-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    run([*pip, '-w', tmp_path, sdist], tmp_path, PYTHONPATH='')
    (wheel,) = tmp_path.glob('*.whl')
    site, elsewhere = tmp_path / 'site', tmp_path / 'elsewhere'
    elsewhere.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    mim = site / 'mmdit/.mim'
    assert files_below(mim, SHIPPED) == files_below(ROOT, SHIPPED)
    assert files_below(site, ['mmdit']) == files_below(ROOT, ['mmdit'])
    code = (
        'from mmdit.resources import resolve_config;'
        f'print(resolve_config("{CONFIG}"))'
    )
    printed = run(['-c', code], elsewhere, PYTHONPATH=str(site))
    assert Path(printed.strip()) == mim / f'configs/dit/{CONFIG}.py'
    printed = run(
        ['-m', 'mmdit', 'train', '--help'], elsewhere, PYTHONPATH=str(site)
    )
    assert printed.startswith('usage: mmdit train')


def test_an_editable_install_gets_links(checkout, tmp_path):
    command = ['-m', 'pip', 'install', '--no-deps', '--no-build-isolation']
    command += ['--target', tmp_path / 'site', '-e', checkout]
    run(command, tmp_path, PYTHONPATH='')
    for name in SHIPPED:
        link = checkout / 'mmdit/.mim' / name
        assert link.is_symlink() and link.samefile(checkout / name)
    scripts = (tmp_path / 'site').rglob('entry_points.txt')
    assert 'mmdit = mmdit.cli.main:main' in next(scripts).read_text()
