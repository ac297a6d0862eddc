"""Write a folder that runs elsewhere: graphs, tokenizer and settings."""

from pathlib import Path
from typing import Any

from mmcv.transforms import Resize
from mmengine.registry import DefaultScope

from mmdit.datasets.pipeline import build_pipeline
from mmdit.datasets.transforms import PackReferSegInputs
from mmdit.runtime.settings import (
    FILE,
    FLOAT32,
    INT8,
    TOKENIZER,
    Settings,
)

from . import FORMATS, OPSET
from .modules import MaskPart, TextPart, TrunkPart, has_trunk, make_parts
from .onnx import check_onnx, quantize, save_onnx
from .program import save_program, trace, without_gradients

# Of all files that a part may have had.
_SUFFIXES = (*FORMATS['both'], INT8, f'{FLOAT32}.data')


def export_model(
    model: Any,
    cfg: Any,
    folder: str | Path,
    format: str = 'onnx',
    opset: int = OPSET,
    int8: bool = False,
) -> list[Path]:
    """Write a model as files that run without its code.

    ``text.*`` turns token ids into text, ``mask.*`` images and text into
    masks; any number of expressions and any length of text up to
    ``max_tokens``, images of the one size of the data preprocessor. With late
    text ``trunk.*`` turns images into what ``mask.*`` takes instead of them.

    Args:
        model: A :class:`ReferringSegmentor` with weights, in evaluation mode.
        cfg: Its config, whose ``test_dataloader`` says how images enter.
        folder: Where to write; those of an earlier export are removed.
        format: A key of ``FORMATS``.
        opset: Version of ONNX's operators.
        int8: Write graphs with int8 weights, too; see
            :func:`mmdit.export.onnx.quantize`.

    Returns:
        The paths of what was written.
    """
    if format not in FORMATS:
        raise ValueError(
            f'unknown format {format!r}; known: {", ".join(FORMATS)}'
        )
    if FLOAT32 in FORMATS[format]:
        check_onnx(opset, int8)
    elif int8:
        raise ValueError(
            f'int8 weights are of ONNX, got the format {format!r}; expected '
            "'onnx' or 'both'"
        )
    parts = make_parts(model)
    settings = make_settings(model, cfg)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_earlier(folder)
    paths = []
    with without_gradients(model):
        for part in parts:
            program = trace(part)
            for suffix in FORMATS[format]:
                path = folder / f'{part.name}{suffix}'
                paths.append(path)
                if suffix != FLOAT32:
                    save_program(program, path)
                    continue
                save_onnx(part, program, path, opset)
                settings.opset, settings.int8 = opset, int8
                if int8:
                    paths.append(quantize(path))
    tokenizer = model.text_encoder.tokenizer.backend_tokenizer
    tokenizer.save(str(folder / TOKENIZER))
    settings.save(folder)
    return paths


def _remove_earlier(folder: Path) -> None:
    """Remove settings and graphs of an earlier export.

    The settings first, as they are written last: a folder without them, of an
    export that was interrupted, is run by nobody.
    """
    names = [FILE]
    for part in (TextPart, TrunkPart, MaskPart):
        names += [f'{part.name}{suffix}' for suffix in _SUFFIXES]
    for name in names:
        (folder / name).unlink(missing_ok=True)


def make_settings(model: Any, cfg: Any) -> Settings:
    """Gather what a runner has to know.

    Raises:
        ValueError: The test pipeline does what no runner does.
    """
    with DefaultScope.overwrite_default_scope('mmdit'):
        pipeline: Any = build_pipeline(cfg.test_dataloader.dataset)
    steps = [
        step
        for step in pipeline.transforms
        if not isinstance(step, PackReferSegInputs)
    ]
    if len(steps) > 1 or any(not _is_plain_resize(step) for step in steps):
        names = ', '.join(type(step).__name__ for step in steps)
        raise ValueError(
            f'the test pipeline has {names}; an exported model knows one '
            "Resize alone, with scale, backend='cv2' and "
            "interpolation='bilinear'"
        )
    resize = steps[0] if steps else None
    pre, head = model.data_preprocessor, model.decode_head
    encoder = model.text_encoder
    normalizes = pre._enable_normalize
    return Settings(
        size=pre.size,
        resize=resize.scale if resize else None,
        keep_ratio=bool(resize and resize.keep_ratio),
        mean=pre.mean.flatten().tolist() if normalizes else None,
        std=pre.std.flatten().tolist() if normalizes else None,
        bgr_to_rgb=pre._channel_conversion,
        pad_center=pre.pad_center,
        align_corners=head.align_corners,
        threshold=float(head.threshold),
        max_tokens=encoder.max_tokens,
        pad_id=encoder.tokenizer.pad_token_id,
        mask_padding=encoder.mask_padding,
        batch_size=cfg.test_dataloader.batch_size,
        trained_on=getattr(model, 'trained_on', None),
        trunk=has_trunk(model),
    )


def _is_plain_resize(step: Any) -> bool:
    """Tell whether a transform is what ``arrays.prepare`` does."""
    return (
        type(step) is Resize
        and step.scale is not None
        and (step.backend, step.interpolation) == ('cv2', 'bilinear')
    )
