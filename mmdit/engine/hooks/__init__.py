"""Hooks."""

from .checkpoint_hook import AtomicCheckpointHook
from .visualization_hook import ReferVisualizationHook

__all__ = ['AtomicCheckpointHook', 'ReferVisualizationHook']
