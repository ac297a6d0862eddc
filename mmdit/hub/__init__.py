"""Models as folders that can be moved, shared and loaded without risk."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .folder import from_pretrained, save_pretrained
    from .sharing import download, push_to_hub

__all__ = ['download', 'from_pretrained', 'push_to_hub', 'save_pretrained']

_HOMES = {
    'download': 'sharing',
    'from_pretrained': 'folder',
    'push_to_hub': 'sharing',
    'save_pretrained': 'folder',
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no {name!r}')
    return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
