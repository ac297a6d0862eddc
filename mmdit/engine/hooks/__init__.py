"""Hooks."""

from .checkpoint_hook import AtomicCheckpointHook
from .health_hook import HealthHook
from .settings_hook import SettingsHook
from .signal_hook import SignalHook
from .visualization_hook import ReferVisualizationHook

__all__ = [
    'AtomicCheckpointHook',
    'HealthHook',
    'ReferVisualizationHook',
    'SettingsHook',
    'SignalHook',
]
