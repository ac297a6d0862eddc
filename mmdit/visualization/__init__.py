"""Pictures of what was asked, what is true and what was answered.

Drawing needs no torch; the visualizer is imported when it is used.
"""

from typing import TYPE_CHECKING, Any

from .drawing import draw_comparison, panel_box, picture_name, tint

if TYPE_CHECKING:
    from .refer_visualizer import ReferVisualizer

__all__ = [
    'ReferVisualizer',
    'draw_comparison',
    'panel_box',
    'picture_name',
    'tint',
]


def __getattr__(name: str) -> Any:
    """Import the visualizer on first use."""
    if name != 'ReferVisualizer':
        raise AttributeError(f'module {__name__!r} has no {name!r}')
    from .refer_visualizer import ReferVisualizer

    return ReferVisualizer
