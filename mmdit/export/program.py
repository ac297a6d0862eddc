"""Write a part of a model as a program of ``torch.export``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram

from mmdit.models.layers import attention_backend

from .modules import Part

# Numbers of 2 or more: PyTorch takes 0 and 1 for sizes that never vary.
BATCH = 2


@contextmanager
def without_gradients(model: nn.Module) -> Iterator[None]:
    """Let no parameter need a gradient: what is traced then is less."""
    learned = [p for p in model.parameters() if p.requires_grad]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def trace(part: Part, backend: str = 'folded') -> ExportedProgram:
    """Trace a part for any batch and any length of text.

    Args:
        part: What to trace.
        backend: How its attention is computed; see
            :func:`mmdit.models.layers.attend`.
    """
    inputs = part.example(BATCH, max(2, part.max_tokens - 1))
    with torch.no_grad(), attention_backend(part, backend):
        return torch.export.export(
            part,
            tuple(inputs.values()),
            dynamic_shapes=part.dynamic_shapes(),
            strict=False,  # the default of newer versions than 2.5
        )


def save_program(program: ExportedProgram, path: Path) -> None:
    """Write a ``.pt2`` file, which ``torch.export.load`` reads."""
    torch.export.save(program, path)
