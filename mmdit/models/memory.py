"""Memory of a training step, counted without a device that has it."""

import weakref
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from mmdit.registry import OPTIMIZERS

from .complexity import build_fake, run_parts


@dataclass(frozen=True)
class Memory:
    """Bytes of a training step.

    Attributes:
        parameters: Weights and buffers.
        gradients: Gradients of what trains.
        state: Gradients and what the optimizer keeps.
        peak: The most that is in use at once during a step, of everything.
    """

    parameters: int
    gradients: int
    state: int
    peak: int


class LiveMemory(TorchDispatchMode):
    """Count the bytes of all tensors that are made inside and still held.

    Attributes:
        now: Bytes in use.
        peak: The most bytes that were in use at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        """Run an operator and add what it returns."""
        out = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self.add, out)
        return out

    def add(self, tensor: Tensor) -> None:
        """Count a tensor until it is freed; views count once."""
        storage = tensor.untyped_storage()
        if storage not in self._known:
            size = storage.nbytes()
            self._known[storage] = size
            weakref.finalize(storage, self._free, size)
            self.now += size
            self.peak = max(self.peak, self.now)

    def _free(self, size: int) -> None:
        self.now -= size


def count_memory(
    cfg: dict,
    batch: int,
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
    optimizer: dict | None = None,
    backend: str = 'folded',
) -> Memory:
    """Count the memory of a training step from a config, on any machine.

    A step is run on tensors that have shapes and no memory. Not counted are
    what kernels need inside, what the allocator rounds up or cannot reuse,
    CUDA itself (about half a GiB), the labels, and the memory of
    DistributedDataParallel (as much as the gradients) and of an averaged
    model (as much as the parameters).

    Args:
        cfg: The ``model`` of a config.
        batch: Images in a step.
        size: Height and width of the input; by default that of the data
            preprocessor.
        dtype: Type of autocast's products; float32 is no autocast.
        optimizer: Config of the optimizer; by default Adam.
        backend: How a ``SAMViT`` computes attention, see ``attend``; the
            default is what GPUs use.
    """
    size = tuple(size or cfg['data_preprocessor']['size'])
    if cfg['backbone']['type'].endswith('SAMViT'):
        backbone = dict(cfg['backbone'], attention_backend=backend)
        cfg = dict(cfg, backbone=backbone)
    with build_fake(cfg) as model:
        optim = build_optimizer(model.train(), optimizer)
        memory = LiveMemory()
        with memory:
            for tensor in [*model.parameters(), *model.buffers()]:
                memory.add(tensor)
            parameters = memory.now
            # The optimizer's state is made in the first step.
            for _ in range(2):
                memory.peak = memory.now
                run_step(model, optim, batch, size, dtype)
                state = memory.now - parameters
                optim.zero_grad()
                gradients = parameters + state - memory.now
    return Memory(parameters, gradients, state, memory.peak)


def build_optimizer(model: nn.Module, cfg: dict | None) -> Optimizer:
    """Build an optimizer of what trains, without temporary copies of it."""
    cfg = dict(cfg or dict(type='Adam'))
    # Fused kernels, which make none, have no version without a device; the
    # loop over parameters makes one of each in turn.
    cfg.pop('fused', None)
    trained = [p for p in model.parameters() if p.requires_grad]
    return OPTIMIZERS.build(dict(cfg, params=trained, foreach=False))


def run_step(
    model: Any,
    optimizer: Optimizer,
    batch: int,
    size: tuple[int, int],
    dtype: torch.dtype,
    device: str = 'cpu',
) -> None:
    """Train on empty images; the loss is one of the size of theirs.

    Args:
        model: A segmentor, on the device.
        optimizer: Of what trains of it.
        batch: Images in the step.
        size: Height and width of the images.
        dtype: Type of autocast's products; float32 is no autocast.
        device: Where it runs.
    """
    mixed = torch.autocast(device, dtype, enabled=dtype != torch.float32)
    with torch.device(device), mixed:
        logits = run_parts(model, batch, size)
        logits = model.decode_head.predict(logits, size)
        # MMSegmentation's losses look at the values of the labels.
        loss = F.binary_cross_entropy_with_logits(
            logits, torch.zeros_like(logits)
        )
    loss.backward()
    optimizer.step()
