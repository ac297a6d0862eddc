"""Checkpoints: read safely, one rename table per source, loaded strictly."""
