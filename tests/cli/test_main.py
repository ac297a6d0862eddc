import subprocess
import sys
from importlib import metadata

import pytest

import mmdit
from mmdit.cli.commands import COMMANDS
from mmdit.cli.main import main
from mmdit.version import __version__


@pytest.fixture(autouse=True)
def own_argv(monkeypatch):
    """Commands write sys.argv; restore it."""
    monkeypatch.setattr(sys, 'argv', ['pytest'])


def test_the_help_shows_every_command_with_an_example(capsys):
    assert main(['--help']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) < 80
    for name, command in COMMANDS.items():
        assert any(line.split()[:1] == [name] for line in lines)
        assert f'$ mmdit {name} {command.example}' in map(str.strip, lines)


def test_without_a_command_the_help_is_an_error(capsys):
    assert main([]) == 2
    printed = capsys.readouterr()
    assert not printed.out and 'usage: mmdit COMMAND' in printed.err


def test_the_version_is_printed(capsys):
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'mmdit {__version__}\n'


class Other:
    """What ``importlib.metadata`` tells of the package index's mmdit."""

    def __init__(self, summary):
        self.told = dict(Name='mmdit', Version='0.3.0', Summary=summary)

    def __call__(self, name):
        assert name == 'mmdit'
        return self.told


@pytest.mark.parametrize(
    ('summary', 'told'),
    [('MMDiT', True), ('Deep Instruction Tuning for Segment Anything', False)],
)
def test_another_project_of_the_name_is_told_of(
    summary, told, capsys, monkeypatch
):
    monkeypatch.setattr(metadata, 'metadata', Other(summary))
    assert main(['--version']) == 0
    error = capsys.readouterr().err
    assert ('mmdit 0.3.0' in error and 'pip uninstall mmdit' in error) == told


def test_commands_stop_where_another_project_is_imported(capsys, monkeypatch):
    monkeypatch.setattr(metadata, 'metadata', Other('MMDiT'))
    monkeypatch.delattr(mmdit, '__version__')
    assert main(['web', '--help']) == 1
    assert 'another project' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('typed', 'advice'),
    [('trian', "'train'"), ('check_data', "'check-data'"), ('xyz', '--help')],
)
def test_an_unknown_command_gets_the_nearest(typed, advice, capsys):
    assert main([typed]) == 2
    error = capsys.readouterr().err
    assert repr(typed) in error and advice in error


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_explains_itself_by_its_own_name(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, '--help'])
    assert not stop.value.code
    assert capsys.readouterr().out.startswith(f'usage: mmdit {name} ')


@pytest.mark.parametrize('name', COMMANDS)
def test_wrong_arguments_are_status_2(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, '--no-such-option'])
    assert stop.value.code == 2
    assert f'mmdit {name}: error: ' in capsys.readouterr().err


def test_an_image_without_an_expression_is_wrong(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['segment', 'photo.jpg'])
    assert stop.value.code == 2
    assert 'no expression' in capsys.readouterr().err


def test_what_fails_is_status_1(tmp_path, capsys):
    assert main(['convert', str(tmp_path / 'nowhere.pth'), 'out.pth']) == 1
    assert capsys.readouterr().err.startswith('error: checkpoint')


@pytest.mark.parametrize('name', ['mmseg', 'cv2'])
def test_a_missing_mm_package_is_named_with_its_cure(
    name, monkeypatch, capsys
):
    def run(*_):
        raise ModuleNotFoundError(f'No module named {name!r}', name=name)

    monkeypatch.setattr('mmdit.cli.main.run', run)
    assert main(['train', 'config.py']) == 1
    error = capsys.readouterr().err
    assert name in error and 'onedl-mmsegmentation' in error


HELP = """
import sys
from mmdit.cli.main import main
main(['--help'])
assert not {'torch', 'mmengine', 'numpy'} & set(sys.modules)
for name in sys.argv[1:]:
    try:
        main([name, '--help'])
    except SystemExit:
        assert 'torch' not in sys.modules, name
"""


def test_help_loads_nothing_heavy():
    slow = {'browse-data', 'convert', 'synthref'}
    said = subprocess.run(
        [sys.executable, '-c', HELP, *(n for n in COMMANDS if n not in slow)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert '--out-dir' in said and '--auto-scale-lr' in said
