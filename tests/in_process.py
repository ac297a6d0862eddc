"""Commands, called in the test's own process.

Starting Python and importing everything anew takes longer than all that most
tests let a command do.
"""

import io
import os
import runpy
import sys
from collections import OrderedDict
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from unittest import mock

from mmengine.runner import CheckpointLoader
from mmengine.utils import ManagerMixin
from pytest import MonkeyPatch

from mmdit.cli.main import main

ROOT = Path(__file__).parents[1]


def call_tool(path, folder, *args):
    """Call a tool by its path; return what it prints."""
    with command_line(folder, path, *args) as printed:
        runpy.run_path(str(ROOT / path), run_name='__main__')
    return printed.getvalue()


def call_mmdit(folder, *args):
    """Call ``mmdit``; return what it prints."""
    with command_line(folder, 'mmdit', *args) as printed:
        assert main(sys.argv[1:]) == 0, printed.getvalue()
    return printed.getvalue()


def managers(cls):
    """Yield MMEngine's classes of which a process keeps instances by name."""
    for manager in cls.__subclasses__():
        yield manager
        yield from managers(manager)


@contextmanager
def command_line(folder, *argv):
    """Give a command a folder and arguments; leave no traces of it."""
    printed = io.StringIO()
    with (
        MonkeyPatch.context() as patch,
        mock.patch.dict(os.environ),
        redirect_stdout(printed),
    ):
        patch.chdir(folder)
        patch.setattr(sys, 'argv', [str(part) for part in argv])
        # What the tools register: they read no pickles.
        schemes = dict(CheckpointLoader._schemes)
        patch.setattr(CheckpointLoader, '_schemes', schemes)
        for manager in managers(ManagerMixin):
            patch.setattr(manager, '_instance_dict', OrderedDict())
        try:
            yield printed
        except SystemExit as stop:
            if stop.code:
                raise
