"""Run inference on images, whatever computes the probabilities.

Shapes: an image of H0 x W0 pixels, K expressions.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from .drawing import draw_comparison
from .images import ImageSource, read_image
from .queries import Expressions, Query, list_sources, make_queries
from .results import check_threshold, make_prediction
from .streaming import (
    Item,
    LoadedImage,
    explain_size,
    load_items,
    make_batches,
    predict_rows,
    raising,
)
from .wording import Wording
from .writing import ResultWriter


class Segmenter:
    """Segment what expressions refer to.

    A subclass sets the attributes below and gives :meth:`_prepare` and
    :meth:`_predict`.
    """

    #: A pixel belongs to a mask where its probability exceeds this.
    threshold: float
    #: The largest image to accept, in pixels.
    max_pixels: int
    #: How the model reads words.
    wording: Wording
    #: What the model was trained on, and how many words it knows.
    description: str
    #: Expressions at a time, where nobody says otherwise.
    batch_size: int
    #: What :meth:`iterate` takes beside its own arguments.
    extras: frozenset[str] = frozenset()

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        expressions: Expressions = None,
        batch_size: int | None = None,
        *,
        out_dir: str | Path | None = None,
        return_vis: bool = False,
        **kwargs: Any,
    ) -> dict[str, list]:
        """Predict, and return all at once.

        Args:
            images: As of :meth:`iterate`, like what follows.
            expressions: One or several.
            batch_size: Expressions at a time.
            out_dir: Folder for what :class:`mmdit.apis.ResultWriter` writes.
            return_vis: Return the overlays, too.
            kwargs: What else :meth:`iterate` takes.

        Returns:
            ``predictions`` of :meth:`iterate`, and ``visualization``, the
            overlays in the same order.

        Raises:
            Exception: That of the first image that fails.
        """
        draws = return_vis or out_dir is not None
        rows = self.iterate(
            images, expressions, batch_size, return_vis=draws, **kwargs
        )
        results: dict[str, list] = dict(predictions=[], visualization=[])
        with nullcontext() if out_dir is None else ResultWriter(out_dir) as w:
            for row in rows:
                if 'error' in row:
                    raise row['error']
                overlay = row.pop('overlay', None)
                sample = row.pop('datasample', row)
                if w:
                    w.write(row, overlay)
                results['predictions'].append(sample)
                if return_vis:
                    results['visualization'].append(overlay)
        return results

    def iterate(
        self,
        images: ImageSource | Sequence[ImageSource],
        expressions: Expressions = None,
        batch_size: int | None = None,
        *,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        threshold: float | None = None,
        return_vis: bool = False,
        return_probabilities: bool = False,
        **kwargs: Any,
    ) -> Iterator[dict]:
        """Yield predictions as they come; memory holds those of one batch.

        What fails costs one image: in place of its predictions comes a dict
        with ``image`` and ``error``, an exception, and the rest goes on.

        Args:
            images: One image, a list of them, or a folder. See
                :func:`mmdit.apis.read_image` for what an image may be; arrays
                are BGR, tensors RGB.
            expressions: One for all images; a list, for each image; or a list
                of lists, one list for each image. None is a query without
                words, of points, a box or a mask.
            batch_size: Expressions that the encoder takes at a time; by
                default that of the model's tests. It is less where images are
                large, and halved where memory does not suffice.
            point_coords: (P, 2), x and y in pixels of the image as people see
                it. With several queries, a list with such an array or None
                for each, in their order.
            point_labels: (P,), 1 inside and 0 outside, or a list, likewise.
            box: Left, top, right and bottom, or a list, likewise.
            mask_input: ``low_res_masks`` of an earlier prediction, which the
                points correct, or a list, likewise.
            threshold: A pixel belongs to a mask where its probability exceeds
                this; by default the model's own.
            return_vis: Add ``overlay``, (H', W', 3) uint8, RGB, to each
                prediction.
            return_probabilities: Add ``probabilities``, (H0, W0) float32.
            kwargs: Of a subclass, such as ``return_logits``.

        Returns:
            Of each image and expression, in the order given, a dict as of
            :func:`mmdit.apis.make_prediction` and ``Wording.read``, and what
            a subclass adds.
        """
        if unknown := kwargs.keys() - self.extras:
            raise TypeError(
                f'{type(self).__name__} does not know {min(unknown)!r}; it '
                f'takes also: {", ".join(sorted(self.extras)) or "nothing"}'
            )
        if threshold is None:
            threshold = self.threshold
        level = check_threshold(threshold)
        sources = list_sources(images)
        prompts = dict(
            point_coords=point_coords,
            point_labels=point_labels,
            box=box,
            mask_input=mask_input,
        )
        queries = self._queries(expressions, len(sources), prompts)
        size = self._batch_size(batch_size)
        items = self._track(
            load_items(zip(sources, queries, strict=True), self._load),
            sum(map(len, queries)),
            size,
        )

        def predict(items: list[Item]) -> list[dict]:
            rows = []
            predictions = self._predict(items, level, **kwargs)
            for item, prediction in zip(items, predictions, strict=True):
                row = make_prediction(
                    item.image.name,
                    item.expression,
                    prediction['probabilities'],
                    level,
                )
                if not return_probabilities:
                    del prediction['probabilities']
                row |= prediction | self.wording.read(item.expression)
                rows.append(row)
            del predictions  # drawing needs memory, too
            for item, row in zip(items, rows, strict=True):
                if return_vis:
                    row['overlay'] = draw(item, row)
            return rows

        return predict_rows(make_batches(items, size), predict)

    def probabilities(
        self,
        image: ImageSource,
        expressions: str | Sequence[str],
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return what thresholds are applied to, (K, H0, W0) float32.

        :func:`mmdit.apis.make_prediction` turns them into predictions, at any
        threshold and without another pass of the model.

        Args:
            image: An image.
            expressions: K expressions, or one.
            batch_size: As of a call.
        """
        queries = self._queries(expressions, 1)
        items = load_items(zip([image], queries, strict=True), self._load)
        batches = raising(make_batches(items, self._batch_size(batch_size)))
        return np.stack(
            [
                prediction['probabilities']
                for batch in batches
                for prediction in self._predict(batch, self.threshold)
            ]
        )

    def fingerprint(self) -> str:
        """Return what differs where predictions of two models may differ."""
        raise NotImplementedError

    def _prepare(self, name: str | int, pixels: np.ndarray) -> Any:
        """Return what :meth:`_predict` wants of (H0, W0, 3) BGR pixels."""
        raise NotImplementedError

    def _predict(
        self, items: list[Item], threshold: float, **kwargs: Any
    ) -> list[dict]:
        """Return ``probabilities``, (H0, W0) float32, and more of each."""
        raise NotImplementedError

    def _check(self, expression: str | None, prompts: Any) -> None:
        """Raise where the model does not take such a query."""

    def _queries(self, *given: Any) -> list[list[Query]]:
        """Make queries that the model takes, as :func:`make_queries`."""
        queries = make_queries(*given)
        for query in (q for entry in queries for q in entry):
            self._check(*query)
        return queries

    def _track(self, items: Iterable, total: int, size: int) -> Iterable:
        """Show how far the items are."""
        return items

    def _batch_size(self, given: int | None) -> int:
        """Check the batch size, or return that of the model."""
        if given is None:
            return self.batch_size
        if given < 1:
            raise ValueError(f'batch_size must be at least 1, got {given}')
        return given

    def _load(
        self,
        source: ImageSource,
        name: str | int,
        queries: Sequence[Query],
    ) -> list[Item]:
        """Read an image and make it an input, once."""
        if not queries:
            return []
        label = f'image {name}' if isinstance(name, int) else name
        pixels = read_image(source, label, self.max_pixels)
        for _, prompts in queries:
            prompts.check_within(pixels.shape[:2], name)
        try:
            prepared = self._prepare(name, pixels)
        # Whatever a transform, OpenCV or Pillow comes up with.
        except Exception as error:
            raise explain_size(name, pixels, error) from error
        image = LoadedImage(name, pixels, prepared)
        return [Item(image, *query) for query in queries]


def draw(item: Item, row: dict) -> np.ndarray:
    """Draw the mask of a prediction, (H', W', 3) uint8, RGB."""
    return draw_comparison(
        item.image.pixels[..., ::-1].copy(),
        item.title,
        prediction=row['mask'],
    )
