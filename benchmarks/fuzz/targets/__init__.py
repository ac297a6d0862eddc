"""A target for each reader; a maker imports what its target needs."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ..judging import Target

# Module of this package that has ``make_<name>`` of each target.
MAKERS = {
    'refs': 'annotations',
    'grefs': 'annotations',
    'instances': 'annotations',
    'jsonl': 'annotations',
    'images': 'images',
    'label-pngs': 'images',
    'pth': 'checkpoints',
    'safetensors': 'checkpoints',
    'expressions': 'words',
    'rows-json': 'words',
    'rows-csv': 'words',
    'hub-config': 'words',
    'prompts': 'words',
    'page': 'page',
}


def make_target(name: str, folder: Path) -> Target:
    """Make a target that writes its files below ``folder``."""
    module = import_module(f'.{MAKERS[name]}', __name__)
    maker: Callable[[Path], Target] = getattr(
        module, f'make_{name.replace("-", "_")}'
    )
    return maker(folder)
