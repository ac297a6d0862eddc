"""Registries of scope ``mmdit``.

Each one is a child of MMEngine's registry of the same name. Looking up
``mmdit.X`` from any MM project imports this module, and then the modules that
the registry names, so that no config needs ``custom_imports``.
"""

import logging
from importlib import import_module
from traceback import extract_tb
from typing import Any

from mmengine import registry as root
from mmengine.logging import print_log
from mmengine.registry import Registry

# Modules that could not be imported: several registries may share one.
_FAILED: set[str] = set()


class _LazyRegistry(Registry):
    """A registry that imports its modules one by one, on demand.

    So the backbone loads neither MMSegmentation nor what else only the modules
    behind its own need. A module that cannot be imported, because a package is
    missing or broken, costs what it would register, and one warning.
    """

    def get(self, key: str) -> Any:
        """Return what is registered as ``key``, or None."""
        scope, name = self.split_scope_key(key)
        if scope in (None, self.scope):
            while name not in self._module_dict and self._locations:
                self._import(self._locations.pop(0))
            if name in self._module_dict:
                return self._module_dict[name]
        return super().get(key)

    def import_from_location(self) -> None:
        """Import all modules that are left."""
        while self._locations:
            self._import(self._locations.pop(0))

    def _import(self, module: str) -> None:
        """Import a module; whatever prevents it is a warning."""
        try:
            import_module(module)
        # Packages at odds with each other fail in any way.
        except Exception as error:
            if module in _FAILED:
                return
            _FAILED.add(module)
            files = [f.filename for f in extract_tb(error.__traceback__)]
            where = [name for name in files if not name.startswith('<')][-1]
            print_log(
                f'{module} cannot be imported, so that nothing of it is '
                f'registered: {type(error).__name__}: {error} ({where})',
                logger='current',
                level=logging.WARNING,
            )


def _child(parent: Registry, *locations: str) -> Registry:
    """Make the ``mmdit`` child of one of MMEngine's registries."""
    return _LazyRegistry(
        parent.name, parent=parent, scope='mmdit', locations=list(locations)
    )


def build_part(cfg: dict, default_args: dict | None = None) -> Any:
    """Build a part of a model, whatever scope the config has.

    A type without prefix is one of ``mmdit`` or MMEngine, if they have it,
    else one of the scope.
    """
    kind = cfg['type']
    unprefixed = isinstance(kind, str) and '.' not in kind
    if unprefixed and '_scope_' not in cfg and MODELS.get(kind) is not None:
        cfg = dict(cfg, _scope_='mmdit')
    return MODELS.build(cfg, default_args=default_args)


MODELS = _child(
    root.MODELS,
    'mmdit.models.backbones',
    'mmdit.models.injectors',
    'mmdit.models.text_encoders',
    'mmdit.models.heads',
    'mmdit.models.data_preprocessor',
    'mmdit.engine.averaging',
    'mmdit.models.segmentors',
)
DATASETS = _child(root.DATASETS, 'mmdit.datasets')
FUNCTIONS = _child(root.FUNCTIONS, 'mmdit.datasets')
HOOKS = _child(root.HOOKS, 'mmdit.engine.hooks')
METRICS = _child(root.METRICS, 'mmdit.evaluation')
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'mmdit.engine.schedule')
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, 'mmdit.engine.amp')
TRANSFORMS = _child(root.TRANSFORMS, 'mmdit.datasets.transforms')
VISUALIZERS = _child(root.VISUALIZERS, 'mmdit.visualization.refer_visualizer')
WEIGHT_INITIALIZERS = _child(
    root.WEIGHT_INITIALIZERS, 'mmdit.models.pretrained'
)

# Without a child of their own, MMEngine warns whenever one of these is used
# under ``default_scope = 'mmdit'``.
DATA_SAMPLERS = _child(root.DATA_SAMPLERS)
EVALUATOR = _child(root.EVALUATOR)
INFERENCERS = _child(root.INFERENCERS, 'mmdit.apis.inferencer')
LOG_PROCESSORS = _child(root.LOG_PROCESSORS)
LOOPS = _child(root.LOOPS)
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS, 'mmdit.engine.sharding')
OPTIMIZERS = _child(root.OPTIMIZERS)
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    root.OPTIM_WRAPPER_CONSTRUCTORS, 'mmdit.engine.layer_decay'
)
RUNNERS = _child(root.RUNNERS)
RUNNER_CONSTRUCTORS = _child(root.RUNNER_CONSTRUCTORS)
TASK_UTILS = _child(root.TASK_UTILS)
VISBACKENDS = _child(root.VISBACKENDS)
