"""Write a part of a model as ONNX."""

from pathlib import Path

import torch
from torch.export import ExportedProgram

from mmdit.optional import needed_by

from . import OPSET
from .modules import Part

# A single file of protobuf can hold no more than 2 GiB.
MAX_BYTES = 2**31 - 2**24


def check_onnx(opset: int) -> None:
    """Reject what cannot be written before anything is traced."""
    with needed_by('export to ONNX', 'mmdit-seg[onnx]'):
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    if opset < OPSET:
        raise ValueError(
            f'opset {opset} is older than {OPSET}, the oldest that can be '
            'written without conversion'
        )


def save_onnx(
    part: Part, program: ExportedProgram, path: Path, opset: int = OPSET
) -> None:
    """Write an ``.onnx`` file.

    Weights beyond 2 GiB go into ``<name>.onnx.data`` beside it.

    Args:
        part: What was traced; it names inputs and outputs.
        program: Its traced program.
        path: Where to write.
        opset: Version of ONNX's operators.
    """
    converted = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=opset,
        input_names=list(part.example(1, 1)),
        output_names=list(part.outputs),
        verbose=False,
    )
    assert converted is not None
    size = sum(tensor.nbytes for tensor in program.state_dict.values())
    converted.save(path, external_data=size > MAX_BYTES)
