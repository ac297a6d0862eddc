"""Run inference with a trained model from Python."""

from mmdit.runtime.images import list_images, read_image
from mmdit.runtime.results import make_prediction
from mmdit.runtime.writing import ResultWriter

from .inferencer import ReferringSegInferencer

__all__ = [
    'ReferringSegInferencer',
    'ResultWriter',
    'list_images',
    'make_prediction',
    'read_image',
]
