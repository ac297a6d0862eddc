"""Registries of scope ``mmdit``.

Each one is a child of MMEngine's registry of the same name. Asking for
``mmdit.X`` from any MM project imports this module, and then the modules in
``locations``, so that no config needs ``custom_imports``.
"""

from importlib.util import find_spec

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_INITIALIZERS
from mmengine.registry import Registry

_MODEL_LOCATIONS = [
    'mmdit.models.backbones',
    'mmdit.models.injectors',
    'mmdit.models.text_encoders',
    'mmdit.models.heads',
    'mmdit.models.data_preprocessor',
]
# Backbone, injectors and text encoder can be borrowed by projects that do not
# have MMSegmentation; the segmentor cannot.
if find_spec('mmseg') is not None:
    _MODEL_LOCATIONS.append('mmdit.models.segmentors')

MODELS = Registry(
    'model', parent=MMENGINE_MODELS, scope='mmdit', locations=_MODEL_LOCATIONS
)
WEIGHT_INITIALIZERS = Registry(
    'weight initializer',
    parent=MMENGINE_INITIALIZERS,
    scope='mmdit',
    locations=['mmdit.checkpoints'],
)
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='mmdit',
    locations=['mmdit.datasets'],
)
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='mmdit',
    locations=['mmdit.datasets.transforms'],
)
FUNCTIONS = Registry(
    'function',
    parent=MMENGINE_FUNCTIONS,
    scope='mmdit',
    locations=['mmdit.datasets'],
)
METRICS = Registry(
    'metric',
    parent=MMENGINE_METRICS,
    scope='mmdit',
    locations=['mmdit.evaluation'],
)
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mmdit',
    locations=['mmdit.engine.hooks'],
)
VISUALIZERS = Registry(
    'visualizer',
    parent=MMENGINE_VISUALIZERS,
    scope='mmdit',
    locations=['mmdit.visualization'],
)

__all__ = [
    'DATASETS',
    'FUNCTIONS',
    'HOOKS',
    'METRICS',
    'MODELS',
    'TRANSFORMS',
    'VISUALIZERS',
    'WEIGHT_INITIALIZERS',
]
