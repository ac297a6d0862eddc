"""Tools as the tests run them."""

import runpy
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Run a tool in this process and a folder; return what it prints."""

    def run_tool(name, folder, *args):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        runpy.run_path(str(TOOLS / name), run_name='__main__')
        return capsys.readouterr().out

    return run_tool
