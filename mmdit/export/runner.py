"""Answer expressions with exported ONNX files, without torch.

Needs NumPy, OpenCV, Pillow, pycocotools, tokenizers and onnxruntime.

Shapes: K expressions of an image of H0 x W0 pixels, B of them at a time, L
text tokens.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmdit.apis.asking import Expressions, list_sources, share_out
from mmdit.apis.fingerprint import hash_folder
from mmdit.apis.images import MAX_PIXELS, ImageSource, read_image
from mmdit.apis.results import check_threshold, make_prediction
from mmdit.apis.streaming import (
    explain_size,
    load_items,
    make_batches,
    predict_rows,
    raising,
)
from mmdit.apis.wording import Wording
from mmdit.apis.writing import ResultWriter
from mmdit.visualization import draw_comparison

from .arrays import Prepared, prepare, restore
from .settings import TOKENIZER, load_settings


@dataclass
class _Picture:
    """An image that is ready for the graphs."""

    name: str | int
    #: (H0, W0, 3) uint8, BGR.
    pixels: np.ndarray
    prepared: Prepared


@dataclass
class _Item:
    """An expression about a picture."""

    picture: _Picture
    expression: str | None


class OnnxSegmenter:
    """Segment what expressions refer to, as ``ReferringSegInferencer`` does.

    Its answers are those of the inferencer but for rounding: probabilities
    differ by less than 1e-4.

    Args:
        folder: What ``mmdit export`` wrote.
        threads: Threads of ONNX Runtime; by default as many as it chooses.
        providers: ONNX Runtime's execution providers, the first that can is
            taken; by default the CPU's.
        max_pixels: The largest image to accept, in pixels.
    """

    def __init__(
        self,
        folder: str | Path,
        threads: int | None = None,
        providers: Sequence[str] = ('CPUExecutionProvider',),
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ImportError(
                f'OnnxSegmenter needs {error.name!r}; run: pip install '
                'mmdit-seg[onnx]'
            ) from error
        self.folder = folder = Path(folder)
        self.settings = load_settings(folder)
        #: A pixel belongs to a mask where its probability exceeds this.
        self.threshold = self.settings.threshold
        self.max_pixels = max_pixels
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        # transformers leaves the settings of its last call in the file.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._wording = Wording(self._tokenizer, self.settings.max_tokens)
        #: What the model was trained on, and how many words it knows.
        self.description = self._wording.describe(self.settings.trained_on)
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self._text, self._mask = (
            onnxruntime.InferenceSession(
                _existing(folder / f'{name}.onnx'), options, list(providers)
            )
            for name in ('text', 'mask')
        )

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        expressions: Expressions,
        batch_size: int | None = None,
        *,
        out_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> dict[str, list]:
        """Predict, and return all at once.

        Args:
            images: As of :meth:`iterate`, like what follows.
            expressions: One or several.
            batch_size: Expressions at a time.
            out_dir: Folder for what :class:`mmdit.apis.ResultWriter` writes.
            kwargs: What else :meth:`iterate` takes.

        Returns:
            ``predictions``, those of :meth:`iterate`.

        Raises:
            Exception: That of the first image that fails.
        """
        kwargs.setdefault('return_vis', out_dir is not None)
        rows = self.iterate(images, expressions, batch_size, **kwargs)
        predictions = []
        with nullcontext() if out_dir is None else ResultWriter(out_dir) as w:
            for row in rows:
                if 'error' in row:
                    raise row['error']
                if w:
                    w.write(row, row.pop('overlay'))
                predictions.append(row)
        return dict(predictions=predictions)

    def iterate(
        self,
        images: ImageSource | Sequence[ImageSource],
        expressions: Expressions,
        batch_size: int | None = None,
        *,
        threshold: float | None = None,
        return_vis: bool = False,
        return_probabilities: bool = False,
    ) -> Iterator[dict]:
        """Yield predictions as they come; memory holds those of one batch.

        What fails costs one image: in place of its predictions comes a dict
        with ``image`` and ``error``, an exception, and the rest goes on.

        Args:
            images: As of the inferencer: one image, a list, or a folder.
            expressions: One for all images; a list, each image is asked them
                all; or a list of lists, one list for each image.
            batch_size: Expressions at a time; less where images are large.
            threshold: A pixel belongs to a mask where its probability exceeds
                this; by default the model's own.
            return_vis: Add ``overlay``, (H', W', 3) uint8, RGB, to each
                prediction.
            return_probabilities: Add ``probabilities``, (H0, W0) float32.

        Returns:
            Of each image and expression, dicts as of
            :func:`mmdit.apis.make_prediction`, with ``unknown_words`` and
            ``truncated`` as of ``Wording.read``.
        """
        if threshold is None:
            threshold = self.threshold
        check_threshold(threshold)
        sources = list_sources(images)
        queries = share_out(expressions, len(sources))
        items = load_items(zip(sources, queries, strict=True), self._load)

        def predict(items: list[_Item]) -> list[dict]:
            rows = []
            found = self._probabilities(items)
            for item, probabilities in zip(items, found, strict=True):
                name, pixels = item.picture.name, item.picture.pixels
                row = make_prediction(
                    name, item.expression, probabilities, threshold
                ) | self._wording.read(item.expression)
                if return_vis:
                    row['overlay'] = draw_comparison(
                        pixels[..., ::-1].copy(),
                        row['expression'],
                        prediction=row['mask'],
                    )
                if return_probabilities:
                    row['probabilities'] = probabilities
                rows.append(row)
            return rows

        size = self._batch_size(batch_size)
        return predict_rows(make_batches(items, size), predict)

    def probabilities(
        self,
        image: ImageSource,
        expressions: str | Sequence[str],
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return what thresholds are applied to, (K, H0, W0) float32.

        Args:
            image: An image.
            expressions: K expressions, or one.
            batch_size: As of a call.
        """
        (asked,) = share_out(expressions, 1)
        items = self._load(image, 'the image', asked)
        batches = raising(make_batches(items, self._batch_size(batch_size)))
        return np.stack([p for b in batches for p in self._probabilities(b)])

    def fingerprint(self) -> str:
        """Return what differs where predictions of two models may differ."""
        return hash_folder(self.folder)

    def _batch_size(self, given: int | None) -> int:
        """Check the batch size, or return that of the model."""
        size = self.settings.batch_size if given is None else given
        if size < 1:
            raise ValueError(f'batch_size must be at least 1, got {size}')
        return size

    def _load(
        self, source: ImageSource, name: str | int, expressions: Sequence
    ) -> list['_Item']:
        """Read an image and make it an input, once."""
        if not expressions:
            return []
        label = f'image {name}' if isinstance(name, int) else name
        pixels = read_image(source, label, self.max_pixels)
        try:
            prepared = prepare(pixels, self.settings)
        except Exception as error:
            raise explain_size(name, pixels, error) from error
        picture = _Picture(name, pixels, prepared)
        return [_Item(picture, expression) for expression in expressions]

    def _probabilities(self, items: Sequence['_Item']) -> list[np.ndarray]:
        """Ask the graphs; return (H0, W0) float32 of each item."""
        ids, real = self.tokenize([item.expression for item in items])
        (text,) = self._text.run(None, dict(ids=ids, real=real))
        prepared = [item.picture.prepared for item in items]
        inputs: dict[str, Any] = dict(
            image=np.stack([p.image for p in prepared]), text=text
        )
        if self.settings.mask_padding:
            inputs['real'] = real.astype(bool)
        logits, scores = self._mask.run(None, inputs)
        align_corners = self.settings.align_corners
        return [
            restore(masks[best : best + 1], p, align_corners)[0]
            for masks, best, p in zip(
                logits, scores.argmax(1), prepared, strict=True
            )
        ]

    def tokenize(
        self, expressions: Sequence[str | None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return token ids and 1 at real tokens, both (B, L) int64."""
        length = self.settings.max_tokens
        shape = len(expressions), length
        ids = np.full(shape, self.settings.pad_id, np.int64)
        real = np.zeros(shape, np.int64)
        for i, expression in enumerate(expressions):
            if expression is None:
                raise ValueError(
                    'an exported model takes expressions only, got None; '
                    'points and boxes need the model itself'
                )
            # As the data sets spell it.
            row = self._tokenizer.encode(expression.strip().lower()).ids
            if len(row) > length:
                warnings.warn(
                    f'{expression!r} has {len(row)} tokens and is cut to '
                    f'{length}',
                    stacklevel=2,
                )
                row = [*row[: length - 1], row[-1]]
            ids[i, : len(row)] = row
            real[i, : len(row)] = 1
        return ids, real


def _existing(path: Path) -> str:
    """Return a path, of a file that must be there."""
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist; export the model with --format onnx'
        )
    return str(path)


__all__ = ['OnnxSegmenter']
