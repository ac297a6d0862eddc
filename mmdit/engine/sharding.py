"""Parameters shared out among the processes of a training (FSDP2)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map_only

from mmdit.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class FullySharded(BaseModel):
    """Each process keeps a share of weights, gradients, averages and moments.

    ``model_wrapper_cfg=dict(type='mmdit.FullySharded')`` of a config; one
    unit at a time is whole, while it computes. Weights are initialized,
    loaded and resumed whole and shared out before the first step, and
    checkpoints are those of a single process.

    Args:
        module: The model.
        units: Names of the lists of modules whose members are the units:
            those of ``SAMViT`` and of BERT.
        param_dtype: 'bfloat16', in which units then compute and are sent;
            gradients are summed in float32, and what is in no unit computes
            in float32. By default all does.
    """

    def __init__(
        self,
        module: BaseModel,
        units: Sequence[str] = ('blocks', 'layer'),
        param_dtype: str | None = None,
    ) -> None:
        super().__init__(module.data_preprocessor)
        if param_dtype not in (None, 'bfloat16'):
            raise ValueError(
                "param_dtype of FullySharded must be 'bfloat16' or None, got "
                f'{param_dtype!r}'
            )
        self.module = module
        self._shared = False
        self._units = [
            unit
            for name, part in module.named_modules()
            if name.rpartition('.')[2] in units
            for unit in part.children()
        ]
        if not self._units:
            raise ValueError(
                f'no part of {type(module).__name__} is called '
                f'{" or ".join(map(repr, units))}; let units of FullySharded '
                'name the lists of modules to shard one by one'
            )
        self._policy = MixedPrecisionPolicy()
        if param_dtype is not None:
            self._policy = MixedPrecisionPolicy(
                param_dtype=torch.bfloat16,
                reduce_dtype=torch.float32,
                output_dtype=torch.float32,
            )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the model does."""
        return self.module(*args, **kwargs)

    def share_out(self, runner: Runner) -> None:
        """Share out the model, its averages and the optimizer's state.

        Args:
            runner: Has all of them, whole, and whatever was loaded in them.
        """
        if self._shared or not isinstance(runner.optim_wrapper, OptimWrapper):
            return  # a test
        loader = runner.val_dataloader if runner.val_loop else None
        if not getattr(getattr(loader, 'sampler', None), 'round_up', True):
            raise ValueError(
                'FullySharded needs the same number of batches in all '
                'processes; set val_dataloader.sampler.round_up=True'
            )
        self._shared = True
        before = dict(self.module.named_parameters())
        for unit in self._units:
            fully_shard(
                unit, mp_policy=self._policy, reshard_after_forward=True
            )
        # Between steps all is shared out, for EMAHook to exchange it.
        fully_shard(self, reshard_after_forward=True)
        shares: dict[str, Any] = dict(self.module.named_parameters())
        for average in _averages(runner):
            _share_module(average.module, shares)
            average.avg_parameters = (
                average.module.state_dict()
                if average.update_buffers
                else dict(average.module.named_parameters())
            )
        _share_optimizer(
            runner.optim_wrapper.optimizer,
            {before[name]: share for name, share in shares.items()},
        )


@contextmanager
def whole_states(runner: Runner) -> Iterator[None]:
    """Let a checkpoint hold whole tensors; all ranks must call this.

    Inside, ``state_dict()`` of what is shared out returns tensors on the CPU
    in the first process, and nothing of use elsewhere.
    """
    owners: list[Any] = []
    if isinstance(runner.model, FullySharded):
        model = runner.model.module
        owners = [model, runner.optim_wrapper, *_averages(runner)]
    try:
        for owner in owners:
            # Of one owner after another, in the same order everywhere.
            state = _gather(owner.state_dict())
            owner.state_dict = lambda *_, state=state, **__: state
        yield
    finally:
        for owner in owners:
            vars(owner).pop('state_dict', None)


def _averages(runner: Runner) -> list[Any]:
    """Return the averaged models of a Runner."""
    return [h.ema_model for h in runner.hooks if isinstance(h, EMAHook)]


def _share(whole: Tensor, like: Any) -> Any:
    """Return this process's share of a tensor that all have."""
    placements = like.placements
    return distribute_tensor(
        whole.detach(), like.device_mesh, placements, src_data_rank=None
    )


def _share_module(module: nn.Module, shares: dict[str, Any]) -> None:
    """Replace parameters, each shared out as that of its name in another."""
    for name, whole in list(module.named_parameters()):
        place, _, key = name.rpartition('.')
        share = nn.Parameter(
            _share(whole, shares[name]), requires_grad=whole.requires_grad
        )
        setattr(module.get_submodule(place), key, share)


def _share_optimizer(optimizer: Any, shares: dict[Any, Any]) -> None:
    """Let an optimizer go on with other parameters."""
    for group in optimizer.param_groups:
        group['params'] = [shares[whole] for whole in group['params']]
    for whole in list(optimizer.state):
        share = shares[whole]
        optimizer.state[share] = {
            key: _share(value, share) if value.shape == whole.shape else value
            for key, value in optimizer.state.pop(whole).items()
        }


def _gather(state: dict) -> dict:
    """Replace shares by whole tensors, in place where ``state`` is flat."""

    def whole(share: DTensor) -> Tensor:
        # One tensor at a time on the device.
        full = share.full_tensor()
        return full.cpu() if is_main_process() else full.new_empty(0)

    for key, value in state.items():
        state[key] = tree_map_only(DTensor, whole, value)
    return state
