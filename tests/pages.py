"""Pages of the documentation, done as a reader would."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from in_process import call_mmdit, call_tool, command_line

ROOT = Path(__file__).parents[1]


def read_page(name, shorter=()):
    """Return a page; each key of ``shorter`` in it becomes its value."""
    text = (ROOT / 'docs' / name).read_text()
    for old, new in dict(shorter).items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def read_blocks(text, language):
    """Return what stands between fences of a language."""
    return re.findall(rf'```{language}\n(.*?)```', text, re.S)


def run_line(line, folder):
    """Run a line in a folder, in this process what is ours; return output."""
    command, *args = shlex.split(
        re.sub(
            r'\$\(cat (\S+)\)',
            lambda found: (folder / found[1]).read_text(),
            line,
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        if command == 'PYTHONPATH=.':
            patch.syspath_prepend(folder)
            command, *args = args
        if command == 'mmdit':
            return call_mmdit(folder, *args)
        if command == 'python':
            return call_tool(args[0], folder, *args[1:])
    subprocess.run([command, *args], cwd=folder, check=True)
    return ''


def run_page(text, folder, added=''):
    """Run all blocks of Python and the shell, one after the other.

    A block that begins with the name of a file is written to it, all others
    of Python are run, one after the other in one interpreter.

    Args:
        text: The page.
        folder: Where the reader is.
        added: What is added to configs: what makes a training short.
    """
    names = {}
    for language, block in re.findall(
        r'```(python|bash)\n(.*?)```', text, re.S
    ):
        if language == 'bash':
            for line in block.splitlines():
                run_line(line, folder)
        elif found := re.match(r'# (\S+\.py)\n', block):
            is_config = '\n_base_ = ' in block
            path = folder / found[1]
            path.write_text(block + added if is_config else block)
        else:
            with (
                pytest.MonkeyPatch.context() as patch,
                command_line(folder, 'python'),
            ):
                patch.syspath_prepend(os.fspath(folder))
                exec(block, names)
