"""Ask a trained model from Python.

Importing this package is cheap; what it names is imported when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .images import list_images, read_image
    from .inferencer import ReferringSegInferencer
    from .results import make_prediction
    from .writing import ResultWriter

__all__ = [
    'ReferringSegInferencer',
    'ResultWriter',
    'list_images',
    'make_prediction',
    'read_image',
]

_HOMES = {
    'ReferringSegInferencer': 'inferencer',
    'ResultWriter': 'writing',
    'list_images': 'images',
    'make_prediction': 'results',
    'read_image': 'images',
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no {name!r}')
    return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
