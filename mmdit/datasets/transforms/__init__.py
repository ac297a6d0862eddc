"""Transforms in which image, mask and expression change together."""

# Registers mmcv's own Resize and RandomChoiceResize, which pipelines use.
import mmcv.transforms  # noqa: F401

from .formatting import PackReferSegInputs
from .geometry import ReferFlip, ReferResize
from .loading import LoadReferImage, LoadReferMask
from .photometric import ReferColorJitter, ReferGaussianBlur
from .sample_prompts import SamplePrompts

__all__ = [
    'LoadReferImage',
    'LoadReferMask',
    'PackReferSegInputs',
    'ReferColorJitter',
    'ReferFlip',
    'ReferGaussianBlur',
    'ReferResize',
    'SamplePrompts',
]
