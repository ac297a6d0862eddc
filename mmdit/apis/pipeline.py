"""What is asked, and the pipeline that images pass before the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.dataset import Compose
from mmseg.structures import SegDataSample
from torch import Tensor

from mmdit.datasets.transforms import (
    LoadReferMask,
    PackReferSegInputs,
    SamplePrompts,
)
from mmdit.registry import TRANSFORMS

from .images import list_images

# They read a data set's files; here the pixels are given, and no truth.
_NEED_A_DATASET = (
    LoadImageFromFile,
    LoadAnnotations,
    LoadReferMask,
    SamplePrompts,
)


@dataclass
class Picture:
    """An image that has passed the pipeline."""

    #: Its path, or its place in the list of images.
    name: str | int
    #: (H, W, 3) uint8, BGR.
    pixels: np.ndarray
    #: (3, h, w), what the pipeline made of the pixels.
    inputs: Tensor
    #: The pipeline's data sample, without an expression.
    sample: SegDataSample


@dataclass
class Item:
    """One question: an expression about a picture."""

    picture: Picture
    expression: str

    def pack(self) -> dict:
        """Return what a data set would give the model."""
        sample = self.picture.sample.clone()
        # As the data sets spell it.
        expression = self.expression.strip().lower()
        sample.set_metainfo(dict(expression=expression))
        return dict(inputs=self.picture.inputs, data_samples=sample)


def share_out(
    expressions: str | Sequence[str] | Sequence[Sequence[str]], number: int
) -> list[list[str]]:
    """Return the expressions of each of ``number`` images."""
    given: list = (
        [expressions] if isinstance(expressions, str) else list(expressions)
    )
    if all(isinstance(entry, str) for entry in given):
        shared = [given] * number
    elif any(isinstance(entry, str) for entry in given):
        raise TypeError(
            'expressions mixes strings and lists; give a list of strings, '
            'which every image is asked, or one list for each image'
        )
    elif len(given) != number:
        raise ValueError(
            f'{len(given)} lists of expressions for {number} images; give one '
            'list for each image'
        )
    else:
        shared = [list(entry) for entry in given]
    if not any(shared):
        raise ValueError('no expressions: the list is empty')
    for expression in (e for entry in shared for e in entry):
        if not isinstance(expression, str) or not expression.strip():
            raise ValueError(
                f'an expression is {expression!r}; give it some words'
            )
    return shared


def list_sources(images: Any) -> list:
    """Return a list of images: those of a folder, a list, or a single one."""
    if isinstance(images, (str, Path)) and Path(images).is_dir():
        return list_images(images)
    sources = list(images) if isinstance(images, (list, tuple)) else [images]
    if not sources:
        raise ValueError('no images: the list is empty')
    return sources


def build_pipeline(dataset: Any) -> Callable[[dict], dict]:
    """Build a data set's pipeline, without what reads the data set's files.

    Args:
        dataset: Config of the data set.

    Returns:
        What turns an item with ``img`` into ``inputs`` and ``data_samples``.
    """
    steps = [TRANSFORMS.build(step) for step in _find_pipeline(dataset)]
    return Compose(
        [
            PackReferSegInputs(('img_path', 'ori_shape', 'img_shape'))
            if isinstance(step, PackReferSegInputs)
            else step
            for step in steps
            if not isinstance(step, _NEED_A_DATASET)
        ]
    )


def make_picture(
    name: str | int, pixels: np.ndarray, pipeline: Callable[[dict], dict]
) -> Picture:
    """Send (H, W, 3) BGR pixels through a pipeline."""
    size = pixels.shape[:2]
    packed = pipeline(
        dict(img=pixels, img_path=str(name), img_shape=size, ori_shape=size)
    )
    return Picture(name, pixels, packed['inputs'], packed['data_samples'])


def _find_pipeline(dataset: Any) -> list[dict]:
    """Return the pipeline of a data set's config, wrapped or not."""
    while 'pipeline' not in dataset:
        inner = dataset.get('dataset') or dataset.get('datasets', [None])[0]
        if inner is None:
            raise ValueError(
                'test_dataloader.dataset has no pipeline, which says how '
                'images enter the model; add one to the config'
            )
        dataset = inner
    return dataset['pipeline']
