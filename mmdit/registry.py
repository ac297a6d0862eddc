"""Registries of scope ``mmdit``.

Each one is a child of MMEngine's registry of the same name. Asking for
``mmdit.X`` from any MM project imports this module, and then the modules that
the registry names, so that no config needs ``custom_imports``.
"""

from importlib.util import find_spec

from mmengine import registry as root
from mmengine.registry import Registry


def _child(parent: Registry, *locations: str) -> Registry:
    """Make the ``mmdit`` child of one of MMEngine's registries."""
    return Registry(
        parent.name, parent=parent, scope='mmdit', locations=list(locations)
    )


# The backbone, the injectors and the text encoder can be borrowed by projects
# that do not have MMSegmentation; the segmentor cannot.
_NEED_MMSEG = ['mmdit.models.segmentors'] if find_spec('mmseg') else []

MODELS = _child(
    root.MODELS,
    'mmdit.models.backbones',
    'mmdit.models.injectors',
    'mmdit.models.text_encoders',
    'mmdit.models.heads',
    'mmdit.models.data_preprocessor',
    'mmdit.engine.averaging',
    *_NEED_MMSEG,
)
DATASETS = _child(root.DATASETS, 'mmdit.datasets')
FUNCTIONS = _child(root.FUNCTIONS, 'mmdit.datasets')
HOOKS = _child(root.HOOKS, 'mmdit.engine.hooks')
METRICS = _child(root.METRICS, 'mmdit.evaluation')
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'mmdit.engine.schedule')
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, 'mmdit.engine.amp')
TRANSFORMS = _child(root.TRANSFORMS, 'mmdit.datasets.transforms')
VISUALIZERS = _child(root.VISUALIZERS, 'mmdit.visualization.refer_visualizer')
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS, 'mmdit.checkpoints')

# Without a child of their own, MMEngine warns whenever one of these is used
# under ``default_scope = 'mmdit'``.
DATA_SAMPLERS = _child(root.DATA_SAMPLERS)
EVALUATOR = _child(root.EVALUATOR)
INFERENCERS = _child(root.INFERENCERS, 'mmdit.apis.inferencer')
LOG_PROCESSORS = _child(root.LOG_PROCESSORS)
LOOPS = _child(root.LOOPS)
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS)
OPTIMIZERS = _child(root.OPTIMIZERS)
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS)
RUNNERS = _child(root.RUNNERS)
RUNNER_CONSTRUCTORS = _child(root.RUNNER_CONSTRUCTORS)
TASK_UTILS = _child(root.TASK_UTILS)
VISBACKENDS = _child(root.VISBACKENDS)

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'EVALUATOR',
    'FUNCTIONS',
    'HOOKS',
    'INFERENCERS',
    'LOG_PROCESSORS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'MODEL_WRAPPERS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'RUNNERS',
    'RUNNER_CONSTRUCTORS',
    'TASK_UTILS',
    'TRANSFORMS',
    'VISBACKENDS',
    'VISUALIZERS',
    'WEIGHT_INITIALIZERS',
]
