"""Hooks."""

from .visualization_hook import ReferVisualizationHook

__all__ = ['ReferVisualizationHook']
