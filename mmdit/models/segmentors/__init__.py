"""Segmentors."""

from .referring_segmentor import ReferringSegmentor
from .tta import ReferTTAModel

__all__ = ['ReferTTAModel', 'ReferringSegmentor']
