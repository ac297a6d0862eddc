"""Pictures of what was asked, what is true and what was answered."""

from .refer_visualizer import (
    ReferVisualizer,
    draw_comparison,
    panel_box,
    picture_name,
)

__all__ = ['ReferVisualizer', 'draw_comparison', 'panel_box', 'picture_name']
