"""Write a part of a model as ONNX."""

import logging
from pathlib import Path

import torch
from torch.export import ExportedProgram

from mmdit.optional import needed_by
from mmdit.runtime.settings import INT8

from . import OPSET
from .modules import Part

# A single file of protobuf can hold no more than 2 GiB.
MAX_BYTES = 2**31 - 2**24


def check_onnx(opset: int, int8: bool = False) -> None:
    """Reject what cannot be written before anything is traced."""
    with needed_by('export to ONNX', 'mmdit-seg[onnx]'):
        import onnx
        import onnxscript  # noqa: F401

        if int8:
            import onnxruntime  # noqa: F401
    newest = onnx.defs.onnx_opset_version()
    if not OPSET <= opset <= newest:
        raise ValueError(
            f'opset {opset} cannot be written; expected {OPSET}, the oldest '
            f'without conversion, to {newest}, the newest of the installed '
            f'onnx {onnx.__version__}'
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


def quantize(path: Path) -> Path:
    """Write ``<name>.int8.onnx`` beside ``<name>.onnx``, for CPUs.

    Linear layers multiply int8 weights by inputs that are rounded as they
    come, and embeddings are looked up in int8. All else is float32:
    convolutions, norms, and attention, whose products have no weights.

    Args:
        path: What :func:`save_onnx` wrote.

    Returns:
        The path of the new file.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = path.with_suffix(INT8)
    silenced = logging.root.manager.disable
    # It recommends to infer shapes first, which are in the file.
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(
            path,
            target,
            op_types_to_quantize=['MatMul', 'Gemm', 'Gather'],
            per_channel=True,
            # 7 bits: CPUs without VNNI add two products in 16 bits.
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.disable(silenced)
    return target
