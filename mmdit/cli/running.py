"""Run a tool as if it were called by a name of its own."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from mmdit.resources import find_resource


def run(target: str, name: str, arguments: Sequence[str]) -> int:
    """Call the ``main`` of a script or module with a command line.

    Args:
        target: A script in mmdit's repository, such as ``tools/train.py``,
            or a module.
        name: What help and errors call it, such as ``mmdit train``.
        arguments: Its arguments.

    Returns:
        The exit status, unless ``main`` raises ``SystemExit`` itself.
    """
    sys.argv = [name, *arguments]
    is_script = target.endswith('.py')
    module = _load_script(target) if is_script else import_module(target)
    return module.main() or 0


def _load_script(target: str) -> ModuleType:
    """Import a script, which lies in no package, as ``tools.train``."""
    name = target.removesuffix('.py').replace('/', '.')
    spec = spec_from_file_location(name, find_resource(target))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


__all__ = ['run']
