"""Compare what was exported with the model that it was made of."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .modules import Part

#: Takes inputs by name, returns outputs in the order of the part.
Run = Callable[[Mapping[str, Tensor]], Sequence[Tensor]]


@torch.no_grad()
def largest_differences(part: Part, run: Run) -> dict[str, float]:
    """Return the largest absolute difference of each output.

    Random inputs are tried: one expression, three at once, the longest text
    and the shortest.

    Args:
        part: The model's own part, as it runs in testing.
        run: What was exported.

    Returns:
        A number for each output, and ``probabilities`` for ``logits``.
    """
    torch.manual_seed(0)
    worst: dict[str, float] = {}
    for batch, length in ((1, part.max_tokens), (3, part.max_tokens), (2, 1)):
        inputs = part.example(batch, length)
        expected = part(*inputs.values())
        if isinstance(expected, Tensor):
            expected = (expected,)
        found = zip(expected, run(inputs), strict=True)
        pairs = dict(zip(part.outputs, found, strict=True))
        if 'logits' in pairs:
            a, b = pairs['logits']
            pairs['probabilities'] = a.sigmoid(), b.sigmoid()
        for name, (a, b) in pairs.items():
            if a.shape != b.shape:
                raise ValueError(
                    f'{name} has shape {tuple(b.shape)}, expected '
                    f'{tuple(a.shape)}'
                )
            # max() would drop NaN.
            worst[name] = float(
                np.maximum(worst.get(name, 0.0), (a - b).abs().max().numpy())
            )
    return worst


def open_file(part: Part, path: Path) -> Run:
    """Return what runs an exported file, by its suffix.

    Args:
        part: What was exported.
        path: An ``.onnx`` or ``.pt2`` file.
    """
    if path.suffix == '.pt2':
        program = torch.export.load(path).module()

        def run_program(inputs: Mapping[str, Tensor]) -> list[Tensor]:
            with torch.no_grad():
                out = program(*inputs.values())
            return [out] if isinstance(out, Tensor) else list(out)

        return run_program
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=['CPUExecutionProvider']
    )

    def run_session(inputs: Mapping[str, Tensor]) -> list[Tensor]:
        arrays = {name: value.numpy() for name, value in inputs.items()}
        return [torch.as_tensor(out) for out in session.run(None, arrays)]

    return run_session
