"""The package ``mmdit.apis`` itself."""

import subprocess
import sys

import pytest

import mmdit.apis


def test_every_public_name_is_found():
    for name in mmdit.apis.__all__:
        assert getattr(mmdit.apis, name).__name__ == name
    with pytest.raises(AttributeError, match='nothing'):
        mmdit.apis.nothing  # noqa: B018


def test_importing_it_is_cheap():
    code = 'import sys, mmdit.apis; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
