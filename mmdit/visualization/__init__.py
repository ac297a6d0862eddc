"""Overlays of expressions, ground truth and predictions."""
