"""Answer expressions with exported ONNX files, without torch.

Needs NumPy, OpenCV, Pillow, pycocotools, tokenizers and onnxruntime.

Shapes: K expressions of an image of H0 x W0 pixels, B of them at a time, L
text tokens.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdit.apis.asking import list_sources, share_out
from mmdit.apis.images import MAX_PIXELS, ImageSource, read_image
from mmdit.apis.results import (
    ResultWriter,
    check_threshold,
    make_prediction,
)
from mmdit.visualization import draw_comparison

from .arrays import prepare, restore
from .settings import TOKENIZER, load_settings


class OnnxSegmenter:
    """Segment what expressions refer to, as ``ReferringSegInferencer`` does.

    Its answers are those of the inferencer but for rounding: probabilities
    differ by less than 1e-4.

    Args:
        folder: What ``tools/deployment/export.py`` wrote.
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
                'mmdit[onnx]'
            ) from error
        folder = Path(folder)
        self.settings = load_settings(folder)
        #: A pixel belongs to a mask where its probability exceeds this.
        self.threshold = self.settings.threshold
        self.max_pixels = max_pixels
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        # transformers leaves the settings of its last call in the file.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
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
        expressions: str | Sequence[str] | Sequence[Sequence[str]],
        batch_size: int | None = None,
        *,
        threshold: float | None = None,
        out_dir: str | Path | None = None,
        return_probabilities: bool = False,
    ) -> dict[str, list]:
        """Answer expressions about images.

        Args:
            images: As of the inferencer: one image, a list, or a folder.
            expressions: One for all images; a list, each image is asked them
                all; or a list of lists, one list for each image.
            batch_size: Expressions of an image at a time.
            threshold: A pixel belongs to a mask where its probability exceeds
                this; by default the model's own.
            out_dir: Folder for ``overlays/*.png``, ``masks/*.png`` and
                ``predictions.json``.
            return_probabilities: Add ``probabilities``, (H0, W0) float32, to
                each prediction.

        Returns:
            ``predictions``, one for each image and expression, as of
            :func:`mmdit.apis.make_prediction`.
        """
        if threshold is None:
            threshold = self.threshold
        check_threshold(threshold)
        sources = list_sources(images)
        questions = share_out(expressions, len(sources))
        writer = None if out_dir is None else ResultWriter(out_dir)
        rows = []
        try:
            for i, (source, asked) in enumerate(
                zip(sources, questions, strict=True)
            ):
                pixels = read_image(source, f'image {i}', self.max_pixels)
                name = str(source) if isinstance(source, (str, Path)) else i
                found = self._probabilities(pixels, asked, batch_size)
                for expression, probabilities in zip(
                    asked, found, strict=True
                ):
                    row = make_prediction(
                        name, expression, probabilities, threshold
                    )
                    if writer:
                        writer.write(row, _draw(pixels, row))
                    if return_probabilities:
                        row['probabilities'] = probabilities
                    rows.append(row)
        finally:
            if writer:
                writer.close()
        return dict(predictions=rows)

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
        pixels = read_image(image, 'the image', self.max_pixels)
        (asked,) = share_out(expressions, 1)
        return self._probabilities(pixels, asked, batch_size)

    def _probabilities(
        self,
        pixels: np.ndarray,
        expressions: Sequence[str | None],
        batch_size: int | None,
    ) -> np.ndarray:
        """Ask the graphs about (H0, W0, 3) BGR pixels."""
        if batch_size is None:
            batch_size = self.settings.batch_size
        if batch_size < 1:
            raise ValueError(
                f'batch_size must be at least 1, got {batch_size}'
            )
        prepared = prepare(pixels, self.settings)
        align_corners = self.settings.align_corners
        found = []
        for start in range(0, len(expressions), batch_size):
            ids, real = self.tokenize(expressions[start : start + batch_size])
            (text,) = self._text.run(None, dict(ids=ids, real=real))
            inputs: dict[str, Any] = dict(
                image=np.repeat(prepared.image[None], len(ids), 0), text=text
            )
            if self.settings.mask_padding:
                inputs['real'] = real.astype(bool)
            logits, scores = self._mask.run(None, inputs)
            for masks, best in zip(logits, scores.argmax(1), strict=True):
                chosen = masks[best : best + 1]
                found.append(restore(chosen, prepared, align_corners)[0])
        return np.stack(found)

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


def _draw(pixels: np.ndarray, row: dict) -> np.ndarray:
    """Draw an answer over its (H0, W0, 3) BGR image."""
    return draw_comparison(
        pixels[..., ::-1].copy(), row['expression'], prediction=row['mask']
    )


__all__ = ['OnnxSegmenter']
