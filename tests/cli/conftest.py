"""Commands as the tests call them."""

import sys
from types import SimpleNamespace

import pytest

from mmdit.cli.main import main


@pytest.fixture
def mmdit(monkeypatch, capsys):
    """Call ``mmdit`` in this process; return its status and what it prints."""

    def mmdit(*args):
        monkeypatch.setattr(sys, 'argv', sys.argv)
        try:
            status = main([str(arg) for arg in args])
        except SystemExit as stop:
            status = stop.code
        said = capsys.readouterr()
        return SimpleNamespace(
            returncode=status, stdout=said.out, stderr=said.err
        )

    return mmdit
