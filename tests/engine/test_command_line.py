import os
import sys

import pytest

from mmdit.engine.command_line import (
    RunParser,
    config_path,
    launch,
    read_config,
)

NAME = 'ldit_tiny_synthref-64x64'


@pytest.fixture
def parse(monkeypatch):
    """Parse arguments as the script tool.py would."""
    # Written by the parser; this puts back what was there.
    monkeypatch.setenv('LOCAL_RANK', '')
    monkeypatch.delenv('LOCAL_RANK')

    def parse(*arguments):
        monkeypatch.setattr(sys, 'argv', ['tool.py', *arguments])
        parser = RunParser('Run.', 'a=1')
        parser.add_argument('config', type=config_path)
        parser.add_argument('--weights')
        parser.add_argument('--text-encoder')
        return parser.parse()

    return parse


def test_the_name_of_a_config_is_enough(parse):
    args = parse(NAME, '--cfg-options', 'model.backbone.arch.depth=2')
    cfg = read_config(args)
    assert cfg.model.backbone.arch.depth == 2
    assert cfg.work_dir == f'work_dirs/{NAME}'
    assert cfg.launcher == 'none' and os.environ['LOCAL_RANK'] == '0'


def test_a_work_dir_given_comes_before_that_of_the_config(parse, tmp_path):
    path = tmp_path / 'own.py'
    path.write_text("work_dir = 'theirs'\n")
    assert read_config(parse(str(path))).work_dir == 'theirs'
    args = parse(str(path), '--work-dir', 'mine')
    assert read_config(args).work_dir == 'mine'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['no-such-config'], "config 'no-such-config' does not exist"),
        ([NAME, '--gpus', '0'], '--gpus is 0, expected 1 or more'),
        ([NAME, '--gpus', '2', '--launcher', 'slurm'], 'leave out --launcher'),
    ],
)
def test_wrong_arguments_are_explained(parse, arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_gpus_start_torchrun_with_the_other_arguments(parse, monkeypatch):
    class Replaced(Exception):
        pass

    def execv(path, command):
        assert path == command[0] == sys.executable
        raise Replaced(command[1:])

    monkeypatch.setattr(os, 'execv', execv)
    monkeypatch.setenv('PORT', '29123')
    rest = [NAME, '--work-dir', 'w', '--cfg-options', 'a=1', 'b=2']
    args = parse(*rest[:3], '--gpus', '4', *rest[3:])
    with pytest.raises(Replaced) as replaced:
        launch(args, 'tool.py')
    (command,) = replaced.value.args
    start = command.index('tool.py')
    assert command[:2] == ['-m', 'mmdit.engine.launcher']
    assert {'--nproc_per_node=4', '--master_port=29123'} < set(command[:start])
    assert command[start + 1 :] == [*rest, '--launcher', 'pytorch']
