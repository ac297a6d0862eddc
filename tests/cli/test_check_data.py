import json
import sys

import pytest

from mmdit.cli.main import main


@pytest.fixture(autouse=True)
def own_argv(monkeypatch):
    """Commands write sys.argv; restore it."""
    monkeypatch.setattr(sys, 'argv', ['pytest'])


def test_a_folder_is_checked_as_refcoco(tiny_refer, capsys):
    options = ['--workers', '1', '--dataset', 'refcoco']
    assert main(['check-data', str(tiny_refer), *options]) == 0
    assert 'refcoco (unc): usable' in capsys.readouterr().out


def test_a_broken_folder_is_status_1(tiny_refer, capsys):
    for path in tiny_refer.rglob('*.jpg'):
        path.unlink()
    assert main(['check-data', str(tiny_refer), '--workers', '1']) == 1


def test_lines_are_checked_as_lines(tmp_path, capsys):
    path = tmp_path / 'train.jsonl'
    path.write_text(json.dumps(dict(image='a.png', expression='x')) + '\n')
    assert main(['check-data', str(path), '--workers', '1']) == 1
    assert 'BROKEN: broken rows (1)' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['nowhere', 'nowhere.jsonl'])
def test_data_that_are_nowhere_are_wrong_arguments(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main(['check-data', name])
    assert stop.value.code == 2
    assert f'mmdit check-data: error: {name} ' in capsys.readouterr().err
