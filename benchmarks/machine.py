"""What a number needs beside it: the commit and the processor."""

import os
import platform
import re
import subprocess
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]


def git(*arguments: str) -> str:
    """Return what git says about this repository, '' without git."""
    done = subprocess.run(
        ['git', '-C', str(ROOT), *arguments], capture_output=True, text=True
    )
    return done.stdout.strip()


def commit() -> str:
    """Name the commit; of a copy without git ``MMDIT_COMMIT`` tells it."""
    return git('rev-parse', '--short', 'HEAD') or os.environ.get(
        'MMDIT_COMMIT', ''
    )


def device_name() -> str:
    """Name the processor that a run used."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'{os.cpu_count()} cores of {cpu_name()}'


def cpu_name() -> str:
    """Name the CPU."""
    info = Path('/proc/cpuinfo')
    names = info.read_text() if info.exists() else ''
    found = re.search(r'model name\s*: (.*)', names)
    return found[1] if found else platform.processor()
