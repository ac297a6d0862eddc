"""Hooks."""

from .checkpoint_hook import AtomicCheckpointHook
from .settings_hook import SettingsHook
from .visualization_hook import ReferVisualizationHook

__all__ = ['AtomicCheckpointHook', 'ReferVisualizationHook', 'SettingsHook']
