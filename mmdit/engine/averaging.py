"""The averaged weights that are evaluated."""

import torch
from mmengine.model import MomentumAnnealingEMA
from torch import Tensor, nn

from mmdit.registry import MODELS


@MODELS.register_module()
class ForeachMomentumAnnealingEMA(MomentumAnnealingEMA):
    """MMEngine's ``MomentumAnnealingEMA`` in one operation per step.

    The same numbers and the same ``state_dict``. All parameters are averaged
    together, which on a GPU is a few kernels instead of one per parameter,
    and those without gradients are left alone: what never trains equals its
    average. Arguments: MMEngine's ``MomentumAnnealingEMA``.
    """

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards the parameters of ``model``."""
        # The first step copies everything; buffers can be of any dtype.
        if self.update_buffers or self.steps == 0:
            super().update_parameters(model)
            return
        steps = int(self.steps)
        if steps % self.interval == 0:
            averages: list[Tensor] = []
            sources: list[Tensor] = []
            for name, source in model.named_parameters():
                if source.requires_grad:
                    averages.append(self.avg_parameters[name])
                    sources.append(source.to(averages[-1].device))
            momentum = max(self.momentum, self.gamma / (self.gamma + steps))
            torch._foreach_lerp_(averages, sources, momentum)
        for mine, other in zip(
            self.module.buffers(), model.buffers(), strict=True
        ):
            mine.copy_(other)
        self.steps += 1
