"""A page that shows where a model fails, from its result rows."""

from .page import make_page
from .rows import Results, check_same_items, read_results
from .statistics import Bootstrap, Estimate, Ratio, metric_ratios
from .thumbnails import choose_cases, embed_images, embed_overlays

__all__ = [
    'Bootstrap',
    'Estimate',
    'Ratio',
    'Results',
    'check_same_items',
    'choose_cases',
    'embed_images',
    'embed_overlays',
    'make_page',
    'metric_ratios',
    'read_results',
]
