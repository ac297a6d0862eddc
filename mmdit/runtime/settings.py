"""What a runner has to know beside the graphs: ``settings.json``."""

import json
import math
from dataclasses import asdict, dataclass
from inspect import formatannotation
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mmdit.files import read_json, write_text

FILE = 'settings.json'
#: In the folder of a model, what was exported of it.
ONNX = 'onnx'
TOKENIZER = 'tokenizer.json'
#: What the files of graphs end in.
FLOAT32, INT8 = '.onnx', '.int8.onnx'
# Ids of tokens are smaller.
_MAX_NUMBER = 2**31
# In pixels, tokens and expressions; images of this side still fit in memory.
_MOST = dict(size=8192, resize=8192, max_tokens=65536, batch_size=65536)


@dataclass
class Settings:
    """How pixels and words become inputs, and outputs a mask.

    Args:
        size: Height and width of the padded input.
        resize: Width and height to which MMCV's ``Resize`` of the test
            pipeline brings an image, None where there is none.
        keep_ratio: Whether it keeps the ratio of the sides: the image then
            becomes as large as fits.
        mean: Of each channel, None where images are not normalized.
        std: Likewise.
        bgr_to_rgb: Whether the model wants RGB.
        pad_center: Whether padding surrounds the image; else it lies right and
            below.
        align_corners: How logits are resized.
        threshold: A pixel belongs to a mask where its probability exceeds
            this.
        max_tokens: Length to which expressions are cut or padded.
        pad_id: Token id of padding.
        mask_padding: Whether the mask graph takes ``real``.
        batch_size: Expressions at a time, where nobody says otherwise.
        opset: Version of ONNX's operators; None without ONNX files.
        trained_on: What the weights were trained on, if they say it.
        trunk: Whether a graph of its own computes what comes before the text.
        int8: Whether there are graphs with int8 weights, too.
    """

    size: tuple[int, int]
    resize: tuple[int, int] | None
    keep_ratio: bool
    mean: list[float] | None
    std: list[float] | None
    bgr_to_rgb: bool
    pad_center: bool
    align_corners: bool
    threshold: float
    max_tokens: int
    pad_id: int
    mask_padding: bool
    batch_size: int
    opset: int | None = None
    trained_on: str | None = None
    trunk: bool = False
    int8: bool = False

    def save(self, folder: Path) -> None:
        """Write ``settings.json``."""
        write_text(folder / FILE, json.dumps(asdict(self), indent=2) + '\n')


def load_settings(folder: Path) -> Settings:
    """Read ``settings.json``.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It holds other keys, or values of no use.
    """
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f'{folder} holds no {FILE}; expected a folder that '
            'mmdit export wrote'
        )
    cure = 'export the model again'
    content = read_json(path, cure)
    try:
        settings = Settings(**content)
    except TypeError as error:
        raise ValueError(
            f'{path} was written by another version of mmdit '
            f'({error!s:.200}); {cure}'
        ) from error
    kinds = get_type_hints(Settings)
    for key, value in content.items():
        if not _fits(value, kinds[key]):
            raise ValueError(
                f'{path} has {key} {value!r:.200}, expected '
                f'{formatannotation(kinds[key])}; {cure}'
            )
    for key, most in _MOST.items():
        given = getattr(settings, key)
        numbers = given if isinstance(given, list) else [given]
        if not all(n is None or 1 <= n <= most for n in numbers):
            raise ValueError(
                f'{path} has {key} {given}, expected 1 to {most:,}; {cure}'
            )
    if 0 in (settings.std or ()):
        raise ValueError(f'{path} has std {settings.std}; {cure}')
    return settings


def _fits(value: Any, kind: Any) -> bool:
    """Tell whether a value from JSON is of a type of :class:`Settings`."""
    if isinstance(kind, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) in (tuple, list):
        kinds = get_args(kind)
        if get_origin(kind) is list:  # a number of all channels, or of each
            kinds *= 3 if isinstance(value, list) and len(value) > 1 else 1
        return (
            isinstance(value, list)
            and len(value) == len(kinds)
            and all(map(_fits, value, kinds))
        )
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is int:
        return type(value) is int and 0 <= value < _MAX_NUMBER
    return type(value) is kind
