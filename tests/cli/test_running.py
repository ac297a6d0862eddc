"""What becomes of errors, whichever command they end."""

import subprocess
import sys
from http.client import InvalidURL

import cv2
import pytest
from mmengine.logging import MMLogger

from mmdit.cli.main import main
from mmdit.cli.running import guard


def fail(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (ValueError('x is 3, expected 4'), 'x is 3, expected 4'),
        (KeyError('no such kind'), 'no such kind'),
        (OSError(28, 'No space left'), '[Errno 28] No space left'),
        (KeyError('x'), 'KeyError: x (MMDIT_DEBUG=1 shows where)'),
        (ValueError(), 'ValueError: (MMDIT_DEBUG=1 shows where)'),
        (
            AttributeError('no x'),
            'AttributeError: no x (MMDIT_DEBUG=1 shows where)',
        ),
        (InvalidURL('bad url'), 'InvalidURL: bad url (MMDIT'),
        (cv2.error('one\n\ntwo'), 'error: one two (MMDIT'),
        (RecursionError('too deep'), 'RecursionError: too deep'),
        (AssertionError(), 'AssertionError: (MMDIT'),
    ],
)
def test_every_error_is_a_line(error, line, capsys):
    assert guard(fail(error)) == 1
    (printed,) = capsys.readouterr().err.splitlines()
    assert printed.startswith(f'error: {line}')


def test_the_traceback_is_shown_to_who_asks(capsys, monkeypatch):
    monkeypatch.setenv('MMDIT_DEBUG', '1')
    assert guard(fail(ValueError('x is 3'))) == 1
    assert 'in command' in capsys.readouterr().err


def test_the_traceback_of_a_training_is_in_its_log(tmp_path, capsys):
    path = tmp_path / 'train.log'
    MMLogger.get_instance('guarded', log_file=str(path))
    assert guard(fail(ValueError('x is 3'))) == 1
    assert 'in command' in path.read_text()
    assert 'in command' not in capsys.readouterr().err


def test_an_interruption_is_status_130(capsys):
    assert guard(fail(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == 'interrupted\n'


def test_wrong_arguments_keep_their_status():
    with pytest.raises(SystemExit) as stop:
        guard(fail(SystemExit(2)))
    assert stop.value.code == 2


@pytest.mark.parametrize('command', ['segment', 'train', 'check-data'])
def test_every_command_is_guarded(command, capsys, monkeypatch):
    monkeypatch.setattr(
        'mmdit.cli.main.run', lambda *_: fail(ZeroDivisionError('by zero'))()
    )
    assert main([command]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ZeroDivisionError: by zero')


def run_with(code, **kwargs):
    code = f'import sys; from mmdit.cli.running import guard; {code}'
    return subprocess.Popen(
        [sys.executable, '-c', code], stderr=subprocess.PIPE, **kwargs
    )


def test_a_reader_that_leaves_is_no_traceback():
    code = 'sys.exit(guard(lambda: [print("x" * 99) for _ in range(9999)]))'
    with run_with(code, stdout=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b''
        assert process.wait(20) == 141


def test_names_that_a_terminal_cannot_show_are_escaped():
    code = r'guard(lambda: print("caf\udce9 \u72d7"))'
    process = run_with(
        code, stdout=subprocess.PIPE, env={'PYTHONIOENCODING': 'ascii'}
    )
    out, error = process.communicate(timeout=20)
    assert out.split() == [rb'caf\udce9', rb'\u72d7'] and not error
