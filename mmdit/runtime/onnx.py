"""Run inference with exported ONNX files, without torch.

Needs NumPy, OpenCV, Pillow, pycocotools, tokenizers and onnxruntime.

Shapes: an image of H0 x W0 pixels, B expressions at a time, L text tokens.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mmdit.caching import CACHE_BYTES, ByteCache
from mmdit.optional import needed_by

from .arrays import Prepared, prepare, restore
from .images import MAX_PIXELS
from .segmenter import Segmenter
from .settings import FLOAT32, INT8, ONNX, TOKENIZER, load_settings
from .streaming import Item
from .wording import Wording

CHUNK = 1 << 20


class OnnxSegmenter(Segmenter):
    """Segment what expressions refer to, as ``ReferringSegInferencer`` does.

    Its predictions are those of the inferencer but for rounding: probabilities
    differ by less than 1e-4. It takes expressions only: points, boxes and
    earlier masks need the model itself.

    Args:
        folder: What ``mmdit export`` wrote, or a model's folder with that in
            ``onnx/``.
        threads: Threads of ONNX Runtime; by default as many as it chooses.
        providers: ONNX Runtime's execution providers, the first that can is
            taken; by default the CPU's.
        max_pixels: The largest image to accept, in pixels.
        cache_bytes: Memory for what was computed of the last images alone,
            with late text; 0 keeps nothing.
        int8: Run the graphs with int8 weights that ``mmdit export --int8``
            wrote: they are smaller, and their predictions a little different.
    """

    def __init__(
        self,
        folder: str | Path,
        threads: int | None = None,
        providers: Sequence[str] = ('CPUExecutionProvider',),
        max_pixels: int = MAX_PIXELS,
        cache_bytes: int = CACHE_BYTES,
        int8: bool = False,
    ) -> None:
        with needed_by('OnnxSegmenter', 'mmdit-seg[onnx]'):
            import onnxruntime  # noqa: F401
            from tokenizers import Tokenizer
        folder = Path(folder)
        if (folder / ONNX).is_dir():
            folder = folder / ONNX
        self.folder = folder
        self.settings = load_settings(folder)
        if int8 and not self.settings.int8:
            raise ValueError(
                f'{folder} holds no int8 weights; export the model with --int8'
            )
        self.int8 = int8
        self.threshold = self.settings.threshold
        self.max_pixels = max_pixels
        with _naming(folder / TOKENIZER):
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        # transformers leaves the settings of its last call in the file.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.wording = Wording(self._tokenizer, self.settings.max_tokens)
        self.batch_size = self.settings.batch_size
        self.description = self.wording.describe(self.settings.trained_on)
        suffix, size = INT8 if int8 else FLOAT32, self.settings.size

        def open_graph(name: str, **inputs: tuple | None) -> _Graph:
            path = folder / f'{name}{suffix}'
            return _Graph(path, threads, list(providers), inputs)

        self._text = open_graph('text', input_ids=None, attention_mask=None)
        image: dict[str, Any] = dict(pixel_values=(3, *size))
        self._trunk: Any = None
        if self.settings.trunk:
            self._trunk = open_graph('trunk', **image)
            image = dict(trunk=None)
        if self.settings.mask_padding:
            image['attention_mask'] = None
        self._mask = open_graph('mask', text=None, **image)
        self.trunks: ByteCache[np.ndarray] = ByteCache(
            cache_bytes, lambda trunk: trunk.nbytes
        )

    def fingerprint(self) -> str:
        """Return what differs where predictions of two models may differ."""
        digest = sha256(b'int8' if self.int8 else b'')
        for path in sorted(p for p in self.folder.iterdir() if p.is_file()):
            digest.update(f'{path.name} {path.stat().st_size}'.encode())
            with path.open('rb') as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        return digest.hexdigest()

    def _check(self, expression: str | None, prompts: Any) -> None:
        """Reject what the graphs have no input for."""
        if expression is None or prompts:
            raise ValueError(
                'an exported model takes expressions only, got '
                f'{str(prompts) or expression}; points, boxes and masks need '
                'the model itself'
            )

    def _prepare(self, name: str | int, pixels: np.ndarray) -> Prepared:
        """Resize, normalize and pad (H0, W0, 3) BGR pixels."""
        return prepare(pixels, self.settings)

    def _predict(
        self, items: list[Item], threshold: float, **kwargs: Any
    ) -> list[dict]:
        """Run the graphs."""
        ids, real = self.tokenize([item.expression or '' for item in items])
        (text,) = self._text.run(dict(input_ids=ids, attention_mask=real))
        prepared = [item.image.prepared for item in items]
        inputs: dict[str, Any] = dict(self._image_inputs(prepared), text=text)
        if self.settings.mask_padding:
            inputs['attention_mask'] = real.astype(bool)
        logits, scores = self._mask.run(inputs)
        predictions = []
        for masks, best, p in zip(
            logits, scores.argmax(1), prepared, strict=True
        ):
            chosen = masks[best : best + 1]
            (found,) = restore(chosen, p, self.settings.align_corners)
            predictions.append(dict(probabilities=found))
        return predictions

    def _image_inputs(self, prepared: list[Prepared]) -> dict:
        """Return what the mask graph takes of images."""
        if self._trunk is None:
            return dict(pixel_values=np.stack([p.image for p in prepared]))
        images = {id(p): p.image for p in prepared}
        # Each alone: kept or not, a trunk has the same numbers.
        trunks = {key: self._run_trunk(im) for key, im in images.items()}
        return dict(trunk=np.stack([trunks[id(p)] for p in prepared]))

    def _run_trunk(self, image: np.ndarray) -> np.ndarray:
        """Return (H, W, C) of a (3, h, w) image, kept or computed."""

        def run() -> np.ndarray:
            return self._trunk.run(dict(pixel_values=image[None]))[0][0]

        if not self.trunks.max_bytes:
            return run()
        return self.trunks.get(sha256(image.data).hexdigest(), run)

    def tokenize(
        self, expressions: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return token ids and 1 at real tokens, both (B, L) int64."""
        length = self.settings.max_tokens
        shape = len(expressions), length
        ids = np.full(shape, self.settings.pad_id, np.int64)
        real = np.zeros(shape, np.int64)
        for i, expression in enumerate(expressions):
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


class _Graph:
    """A graph whose errors name its file.

    Args:
        path: The ``.onnx`` file.
        threads: As of :class:`OnnxSegmenter`.
        providers: Likewise.
        inputs: The names of its inputs, and their shapes after the batch,
            None where they vary.
    """

    def __init__(
        self,
        path: Path,
        threads: int | None,
        providers: list[str],
        inputs: dict[str, tuple | None],
    ) -> None:
        import onnxruntime

        if not path.is_file():
            raise FileNotFoundError(
                f'{path} does not exist; export the model with --format onnx'
            )
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self._path = path
        with _naming(path):
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers
            )
        found = {i.name: i.shape for i in self._session.get_inputs()}
        if found.keys() != inputs.keys() or any(
            shape and tuple(found[name][1:]) != shape
            for name, shape in inputs.items()
        ):
            raise ValueError(
                f'{path} takes {found!s:.300}, expected {inputs} after the '
                'batch, as settings.json beside it says; export the model '
                'again'
            )

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs."""
        with _naming(self._path):
            return self._session.run(None, inputs)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors of another library name the file that it reads."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f'{path} cannot be used: {error!s:.300}; export the model again'
        ) from error
