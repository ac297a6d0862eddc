"""tools/env.sh, with a stand-in for Python: nothing is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
MODULES = ('segment_anything', 'mmseg')

# Makes "environments" of itself, writes down what pip is asked for, fails
# where a file tells it to, and leaves everything else to a real Python.
STAND_IN = f"""#!/usr/bin/env bash
state='{{state}}'
if [[ ${{{{1:-}}}} == -m && $2 == venv ]]; then
    mkdir -p "$3/bin"
    touch "$3/pyvenv.cfg"
    cp "$0" "$3/bin/python"
    [[ ! -e $state/venv_fails ]]
elif [[ ${{{{1:-}}}} == -m && $2 == pip ]]; then
    echo "$*" >>"$state/pip.log"
    [[ "$*" != *show* || -e $state/upstream ]] &&
        [[ ! ( -e $state/pip_fails && "$*" == *requirements* ) ]]
elif [[ ${{{{1:-}}}} == -m && $2 == uv ]]; then
    echo "$*" >>"$state/pip.log"
else
    PYTHONPATH="$state/modules" '{sys.executable}' "$@"
fi
"""


class Checkout:
    """A copy of what tools/env.sh reads, in a folder with a space."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / 'a checkout'
        self.state = tmp_path / 'state'
        self.python = tmp_path / 'python'
        (self.root / 'tools').mkdir(parents=True)
        shutil.copy(ROOT / 'tools' / 'env.sh', self.root / 'tools')
        for name in ('requirements.txt', 'setup.py'):
            shutil.copy(ROOT / name, self.root)
        shutil.copytree(ROOT / 'requirements', self.root / 'requirements')
        (self.state / 'modules').mkdir(parents=True)
        for name in MODULES:
            (self.state / 'modules' / f'{name}.py').touch()
        self.python.write_text(STAND_IN.format(state=self.state))
        self.python.chmod(0o755)

    def prepare(self, cwd: Path | None = None, **env: object):
        """Source env.sh as the scripts do, and print what it exports."""
        script = (
            'set -euo pipefail; source "$1"; prepare_environment "[1/5]"; '
            'echo "python=$(command -v python)"; echo "path=$PYTHONPATH"'
        )
        return subprocess.run(
            ['bash', '-c', script, '-', str(self.root / 'tools' / 'env.sh')],
            env={
                'PATH': os.environ['PATH'],
                'HOME': str(self.state),
                'PYTHON': str(self.python),
                **{key: str(value) for key, value in env.items()},
            },
            cwd=cwd or self.state,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def make_environment(self, path: Path) -> Path:
        """Make an environment of the user, without our marker."""
        (path / 'bin').mkdir(parents=True)
        (path / 'pyvenv.cfg').touch()
        shutil.copy(self.python, path / 'bin' / 'python')
        return path

    def pip_calls(self) -> list[str]:
        """Return the pip commands since the last look."""
        log = self.state / 'pip.log'
        calls = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [call for call in calls if ' install ' in call]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def installs_requirements(calls: list[str]) -> bool:
    return any('requirements' in call for call in calls)


def test_the_same_key_installs_nothing_again(checkout):
    first = checkout.prepare()
    assert first.returncode == 0, first.stderr
    assert 'installing' in first.stdout
    assert installs_requirements(checkout.pip_calls())
    second = checkout.prepare()
    assert second.returncode == 0, second.stderr
    assert 'installing' not in second.stdout
    assert checkout.pip_calls() == []


@pytest.mark.parametrize(
    'name', ['requirements.txt', 'requirements/tests.txt', 'setup.py']
)
def test_a_changed_file_installs_again(checkout, name):
    checkout.prepare()
    checkout.pip_calls()
    with (checkout.root / name).open('a') as file:
        file.write('# changed\n')
    assert 'installing' in checkout.prepare().stdout
    assert installs_requirements(checkout.pip_calls())


def test_a_new_requirements_file_installs_again(checkout):
    checkout.prepare()
    (checkout.root / 'requirements' / 'more.txt').write_text('more')
    assert 'installing' in checkout.prepare().stdout


def test_a_failed_install_leaves_no_key(checkout):
    (checkout.state / 'pip_fails').touch()
    assert checkout.prepare().returncode != 0
    (checkout.state / 'pip_fails').unlink()
    again = checkout.prepare()
    assert again.returncode == 0, again.stderr
    assert 'installing' in again.stdout


def test_a_failed_reinstall_drops_the_old_key(checkout):
    checkout.prepare()
    setup = checkout.root / 'setup.py'
    before = setup.read_text()
    setup.write_text(before + '# changed\n')
    (checkout.state / 'pip_fails').touch()
    assert checkout.prepare().returncode != 0
    (checkout.state / 'pip_fails').unlink()
    setup.write_text(before)
    assert 'installing' in checkout.prepare().stdout


def test_a_failed_import_leaves_no_key_and_names_the_pair(checkout):
    (checkout.state / 'modules' / 'segment_anything.py').write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    result = checkout.prepare()
    assert result.returncode != 0
    assert 'Do torch and torchvision not match?' in result.stderr
    assert 'installing' in checkout.prepare().stdout


def test_precedence(checkout, tmp_path):
    conda = checkout.make_environment(tmp_path / 'conda')
    (conda / 'pyvenv.cfg').unlink()
    (conda / 'conda-meta').mkdir()
    candidates = {
        'MMDIT_ENV': tmp_path / 'named env',
        'VIRTUAL_ENV': checkout.make_environment(tmp_path / 'venv'),
        'CONDA_PREFIX': conda,
    }
    while candidates:
        result = checkout.prepare(**candidates)
        expected = next(iter(candidates.values()))
        assert f'python={expected}/bin/python' in result.stdout, result.stderr
        candidates.pop(next(iter(candidates)))
    result = checkout.prepare()
    expected = checkout.root / '.venv'
    assert f'python={expected}/bin/python' in result.stdout


def test_mmdit_env_is_relative_to_the_current_folder(checkout, tmp_path):
    result = checkout.prepare(cwd=tmp_path, MMDIT_ENV='my env')
    assert f'python={tmp_path}/my env/bin/python' in result.stdout


def test_a_folder_that_is_no_environment_is_left_alone(checkout, tmp_path):
    (tmp_path / 'papers').mkdir()
    (tmp_path / 'papers' / 'thesis.tex').touch()
    result = checkout.prepare(MMDIT_ENV=tmp_path / 'papers')
    assert result.returncode != 0
    assert 'is not empty and no environment' in result.stderr
    assert os.listdir(tmp_path / 'papers') == ['thesis.tex']


def test_a_stale_active_environment_is_an_error(checkout, tmp_path):
    result = checkout.prepare(VIRTUAL_ENV=tmp_path / 'gone')
    assert result.returncode != 0
    assert 'deactivate' in result.stderr
    assert not (tmp_path / 'gone').exists()


def test_our_broken_environment_is_made_again(checkout):
    checkout.prepare()
    python = checkout.root / '.venv' / 'bin' / 'python'
    python.unlink()
    result = checkout.prepare()
    assert result.returncode == 0, result.stderr
    assert python.is_file()


def test_a_half_made_environment_is_completed(checkout):
    (checkout.state / 'venv_fails').touch()
    result = checkout.prepare()
    assert result.returncode != 0
    assert "venv' failed" in result.stderr
    (checkout.state / 'venv_fails').unlink()
    again = checkout.prepare()
    assert again.returncode == 0, again.stderr


def test_only_our_own_environments_get_the_locked_versions(checkout, tmp_path):
    checkout.prepare()
    assert any('lock.txt' in call for call in checkout.pip_calls())
    checkout.prepare(VIRTUAL_ENV=checkout.make_environment(tmp_path / 'venv'))
    calls = checkout.pip_calls()
    assert installs_requirements(calls)
    assert not any('lock.txt' in call for call in calls)


def test_a_resolution_chooses_other_versions(checkout):
    checkout.prepare()
    checkout.pip_calls()
    checkout.prepare(MMDIT_RESOLUTION='lowest-direct')
    [uv, install] = checkout.pip_calls()
    assert uv.endswith('install --quiet uv')
    assert '--resolution lowest-direct' in install
    assert 'lock.txt' not in install


def test_upstream_mm_packages_are_not_overwritten(checkout):
    (checkout.state / 'upstream').touch()
    result = checkout.prepare()
    assert result.returncode != 0
    assert 'would overwrite' in result.stderr
    assert not installs_requirements(checkout.pip_calls())


def test_one_environment_imports_the_current_checkout(checkout, tmp_path):
    shared = tmp_path / 'shared'
    checkout.prepare(MMDIT_ENV=shared)
    other = checkout.root.with_name('other')
    shutil.copytree(checkout.root, other)
    checkout.pip_calls()
    checkout.root = other
    result = checkout.prepare(MMDIT_ENV=shared, PYTHONPATH='/mine')
    assert f'path={other}:/mine' in result.stdout
    [link] = checkout.pip_calls()
    assert link.endswith(f'-e {other}')


def test_an_old_python_is_named(checkout, tmp_path):
    old = tmp_path / 'python3.8'
    old.write_text('#!/usr/bin/env bash\nexit 1\n')
    old.chmod(0o755)
    result = checkout.prepare(PYTHON=old)
    assert result.returncode != 0
    assert 'Python 3.10 or newer is needed' in result.stderr
    assert str(old) in result.stderr


def test_every_requirement_is_locked_to_versions_that_it_allows():
    lock = ROOT / 'requirements' / 'lock.txt'
    locked: dict[str, list[str]] = {}
    for line in lock.read_text().splitlines():
        name, version = line.partition(' ;')[0].split('==')
        locked.setdefault(name, []).append(version)
    for path in set(lock.parent.glob('*.txt')) - {lock}:
        for line in path.read_text().splitlines():
            if not line.startswith('#'):
                wanted = Requirement(line)
                versions = locked.get(wanted.name, [])
                assert versions, f'{line} is not in {lock}'
                assert [*wanted.specifier.filter(versions)] == versions, line
