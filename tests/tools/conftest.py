"""Tools as the tests run them."""

import importlib.util
import runpy
import shutil
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture(scope='session')
def load_tool():
    """Import a tool, which lies in no package, by its path below tools/."""

    def load_tool(name):
        path = TOOLS / name
        spec = importlib.util.spec_from_file_location(path.stem, path)
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        return tool

    return load_tool


@pytest.fixture
def synthref_vocab(tmp_path, vocab_file):
    """A vocabulary where SynthRef's configs want theirs, below a folder."""
    path = tmp_path / 'data/synthref/vocab.txt'
    path.parent.mkdir(parents=True)
    return shutil.copy(vocab_file, path)


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Run a tool in this process and a folder; return what it prints."""

    def run_tool(name, folder, *args):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        runpy.run_path(str(TOOLS / name), run_name='__main__')
        return capsys.readouterr().out

    return run_tool
