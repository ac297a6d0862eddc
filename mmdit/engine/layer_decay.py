"""Learning rates that decay from the last layer of an encoder to the first."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmdit.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Multiply learning rates by ``rate ** (layers that follow)``.

    For every part of a model that has MMPreTrain's ``get_layer_depth``, such
    as :class:`SAMViT`, in models of any MM project; all other parameters have
    a factor of 1. MMEngine's own rules (``custom_keys``, ``norm_decay_mult``,
    ...) hold as ever, and a rate of theirs is multiplied.

    Args:
        optim_wrapper_cfg: As of MMEngine's constructor.
        paramwise_cfg: The same with ``layer_decay_rate``, in (0, 1].
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise ValueError(
                f'{type(self).__name__} needs paramwise_cfg=dict('
                f'layer_decay_rate=...) within (0, 1], got {rate!r}'
            )
        if self.base_lr is None:
            raise ValueError(
                f'{type(self).__name__} needs lr of the optimizer, which '
                'decays by layer'
            )
        self.decay_rate = rate

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        **kwargs: Any,
    ) -> None:
        """Add one group per parameter, as MMEngine does, with its rate."""
        super().add_params(params, module, prefix, **kwargs)
        if prefix:
            return  # a part of a model; the model follows
        base: Any = self.base_lr
        factors = self._factors(module)
        for group in params:
            factor = factors.get(id(group['params'][0]), 1.0)
            group['lr'] = group.get('lr', base) * factor

    def _factors(self, model: nn.Module) -> dict[int, float]:
        """Return the factors of encoders' parameters by identity."""
        parts: list[Any] = [
            m for m in model.modules() if hasattr(m, 'get_layer_depth')
        ]
        # A whole classifier of MMPreTrain has the method of its backbone.
        encoders = [part for part in parts if part is not model] or parts
        if not encoders:
            raise ValueError(
                f'no part of {type(model).__name__} has get_layer_depth, '
                'which tells the layer of a parameter; take a backbone with '
                'it (SAMViT) or leave layer_decay_rate out'
            )
        factors = {}
        for encoder in encoders:
            for name, parameter in encoder.named_parameters():
                depth, depths = encoder.get_layer_depth(name)
                factors[id(parameter)] = self.decay_rate ** (
                    depths - 1 - depth
                )
        return factors
