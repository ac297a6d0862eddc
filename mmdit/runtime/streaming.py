"""Predictions one by one, where an error costs one image and no more."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .prompts import Prompts

# Of a batch, an image counted for each of its expressions: a prediction takes
# some ten bytes for each of its pixels.
BATCH_PIXELS = 24_000_000
# An image with longer sides vanishes when the longer one fits a model.
MAX_RATIO = 64


@dataclass
class LoadedImage:
    """An image that is ready for a model."""

    #: Its path, or its place in the list of images.
    name: str | int
    #: (H, W, 3) uint8, BGR.
    pixels: np.ndarray
    #: What the model takes.
    prepared: Any = None


@dataclass
class Item:
    """One query about an image: an expression or prompts, or both."""

    image: LoadedImage
    expression: str | None
    prompts: Prompts = Prompts()

    @property
    def title(self) -> str:
        """The query in words."""
        return self.expression or str(self.prompts)


@dataclass
class Failure:
    """An image without predictions."""

    image: str | int
    error: Exception


def load_items(
    inputs: Iterable[tuple[Any, Sequence[Any]]],
    load: Callable[[Any, str | int, Sequence[Any]], list[Item]],
) -> Iterator[Item | Failure]:
    """Load images one by one.

    Args:
        inputs: Images, and the queries of each.
        load: From an image, its name and its queries to items.
    """
    for i, (source, queries) in enumerate(inputs):
        name = str(source) if isinstance(source, (str, Path)) else i
        try:
            items = load(source, name, queries)
        except Exception as error:
            yield Failure(name, error)
        else:
            yield from items


def make_batches(
    items: Iterable[Item | Failure], size: int
) -> Iterator[list[Item] | Failure]:
    """Put items together, in order, as many as memory is sure to hold.

    Args:
        items: Items; before a failure, a batch ends.
        size: Items of a batch, or fewer where images are large.
    """
    batch: list[Item] = []
    pixels = 0
    for item in items:
        more = 0
        if not isinstance(item, Failure):
            more = item.image.pixels[..., 0].size
        is_full = len(batch) == size or pixels + more > BATCH_PIXELS
        if batch and (is_full or isinstance(item, Failure)):
            yield batch
            batch, pixels = [], 0
        if isinstance(item, Failure):
            yield item
        else:
            batch.append(item)
            pixels += more
    if batch:
        yield batch


def raising(
    batches: Iterable[list[Item] | Failure],
) -> Iterator[list[Item]]:
    """Yield batches; a failure is raised."""
    for batch in batches:
        if isinstance(batch, Failure):
            raise batch.error
        yield batch


def predict_rows(
    batches: Iterable[list[Item] | Failure],
    predict: Callable[[list[Item]], list[dict]],
) -> Iterator[dict]:
    """Yield predictions, and for what fails its ``image`` and ``error``."""
    for batch in batches:
        if isinstance(batch, Failure):
            yield dict(image=batch.image, error=batch.error)
        else:
            yield from _attempt(batch, predict)


def _attempt(
    batch: list[Item], predict: Callable[[list[Item]], list[dict]]
) -> Iterator[dict]:
    """Predict a batch; where it fails, find the items that do."""
    try:
        yield from predict(batch)
        return
    except Exception as error:
        if len(batch) == 1:
            (item,) = batch
            yield dict(
                image=item.image.name,
                expression=item.expression,
                error=error,
            )
            return
    for item in batch:
        yield from _attempt([item], predict)


def explain_size(
    name: str | int, pixels: np.ndarray, error: Exception
) -> ValueError:
    """Return what to say where a model cannot take an image."""
    height, width = pixels.shape[:2]
    reason = str(error) or type(error).__name__
    if max(height, width) > MAX_RATIO * min(height, width):
        reason = 'it is too thin; crop it'
    return ValueError(
        f'{name}, {width} x {height} pixels (width x height), cannot be made '
        f'an input of this model: {reason}'
    )
