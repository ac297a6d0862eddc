"""Learning rates of runs of any length."""

from typing import Any

from mmengine.optim import CosineAnnealingLR
from torch.optim import Optimizer

from mmdit.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class CosineAfterWarmup(CosineAnnealingLR):
    """MMEngine's ``CosineAnnealingLR``, also in runs shorter than a warm-up.

    Without ``end`` the Runner sets the end of the training, whatever decides
    that; MMEngine's own raises where it lies before ``begin``.

    Args:
        optimizer: The optimizer.
        begin: Step (or epoch) at which the warm-up ends.
        end: Step (or epoch) at which the training ends.
        **kwargs: As in MMEngine's ``CosineAnnealingLR``.
    """

    def __init__(
        self, optimizer: Optimizer, *, begin: int, end: int, **kwargs: Any
    ) -> None:
        begin = max(0, min(begin, end - 1))
        super().__init__(optimizer, begin=begin, end=end, **kwargs)
