"""Images and expressions in, masks out.

Shapes: K expressions of an image of H x W pixels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from rich.console import Console
from rich.progress import track
from torch import nn

from mmdit.registry import INFERENCERS, MODELS
from mmdit.visualization import draw_comparison

from .asking import Expressions, list_sources
from .fingerprint import hash_model
from .images import MAX_PIXELS, ImageSource, read_image
from .memory import Halving
from .models import choose_device, describe_model, load_config, load_weights
from .pipeline import (
    Item,
    Question,
    build_pipeline,
    describe,
    find_pipeline,
    make_picture,
    make_questions,
)
from .results import check_threshold
from .streaming import load_items, make_batches, predict_rows, raising
from .wording import Wording
from .writing import ResultWriter


@INFERENCERS.register_module()
class ReferringSegInferencer(BaseInferencer):
    """Segment what expressions refer to.

    Given the images and expressions of a data set in its order, without EXIF
    rotation among them, answers equal those of ``mmdit test`` on the same
    device bit for bit, probabilities and masks, as long as batches are the
    same; the default ``batch_size`` sees to that. Others may change the last
    bits of a probability, as matrix products add up in another order.

    Args:
        model: Path of a config, a folder that ``mmdit train`` wrote, a name
            of the model zoo (a config's, without ``.py``) or a ``Config``.
            None: what ``weights`` of SAM or the DIT authors tell.
        weights: File, directory or URL of a checkpoint of any kind in
            ``docs/checkpoints.md``. By default that of the folder, what the
            model zoo lists or ``load_from``; none is an error.
        device: Such as 'cpu' or 'cuda:0'; 'auto' takes an accelerator, if any.
        show_progress: Log what the model knows, and how far batches are.
        max_pixels: The largest image to accept, in pixels.
        allow_other_settings: Warn only where those of the weights differ.
    """

    forward_kwargs = {'return_logits'}

    def __init__(
        self,
        model: str | Path | dict | Config | None = None,
        weights: str | Path | None = None,
        device: str | None = 'auto',
        show_progress: bool = True,
        max_pixels: int = MAX_PIXELS,
        allow_other_settings: bool = False,
    ) -> None:
        self._allow_other_settings = allow_other_settings
        cfg, place = load_config(model, weights)
        super().__init__(
            cfg,
            place,
            choose_device(device),
            cfg.get('default_scope', 'mmdit'),
            show_progress,
        )
        self.max_pixels = max_pixels
        #: A pixel belongs to a mask where its probability exceeds this.
        self.threshold = float(self.model.decode_head.threshold)
        self._halving = Halving()
        self.wording = Wording.of(self.model.text_encoder)
        #: What the model was trained on, and how many words it knows.
        self.description = describe_model(self.model, log=show_progress)

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        expressions: Expressions = None,
        return_datasamples: bool = False,
        batch_size: int | None = None,
        *,
        out_dir: str | Path | None = None,
        return_vis: bool = False,
        **kwargs: Any,
    ) -> dict:
        """Predict, and return all at once.

        Args:
            images: As of :meth:`iterate`, like what follows.
            expressions: One or several.
            return_datasamples: Return MMSegmentation's data samples instead
                of dicts.
            batch_size: Expressions at a time.
            out_dir: Folder for what :class:`mmdit.apis.ResultWriter` writes.
            return_vis: Return the overlays, too.
            kwargs: What else :meth:`iterate` takes.

        Returns:
            ``predictions`` of :meth:`iterate`; an error is raised.
            ``visualization``, the overlays in the same order.
        """
        rows = self.iterate(
            images,
            expressions,
            batch_size,
            return_vis=return_vis or out_dir is not None,
            return_datasamples=return_datasamples,
            **kwargs,
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
                part = self.postprocess(
                    [sample], [overlay] if return_vis else []
                )
                for key, values in part.items():
                    results[key] += values
        return results

    def iterate(
        self,
        images: ImageSource | Sequence[ImageSource],
        expressions: Expressions = None,
        batch_size: int | None = None,
        *,
        points: Any = None,
        boxes: Any = None,
        masks: Any = None,
        threshold: float | None = None,
        return_vis: bool = False,
        return_datasamples: bool = False,
        return_probabilities: bool = False,
        return_logits: bool = False,
    ) -> Iterator[dict]:
        """Yield predictions as they come, which memory holds of one batch.

        In place of those of an image that fails comes a dict with ``image``
        and ``error``, an exception.

        Args:
            images: One image, a list of them, or a folder. See
                :func:`mmdit.apis.read_image` for what an image may be; arrays
                are BGR, tensors RGB.
            expressions: One for all images; a list, each image is asked them
                all; or a list of lists, one list for each image. None is a
                question without words, about points, a box or a mask.
            batch_size: Expressions that the encoder takes at a time; by
                default that of the config's ``test_dataloader``. It is less
                where images are large, and halved where memory does not
                suffice.
            points: Rows of x, y and label, 1 inside and 0 outside, in pixels
                of the image as people see it. With several questions, a list
                with such rows or None for each, in the order of the answers.
            boxes: Left, top, right and bottom, or a list, likewise.
            masks: ``low_res_logits`` of an earlier answer, which the points
                correct, or a list, likewise.
            threshold: A pixel belongs to a mask where its probability exceeds
                this; by default the model's own.
            return_vis: Add ``overlay``, (H', W', 3) uint8, RGB, to each
                prediction.
            return_datasamples: Add ``datasample``, MMSegmentation's.
            return_probabilities: Add ``probabilities``, (H, W) float32.
            return_logits: Add ``logits``, (H, W) float32, whose sigmoid they
                are.

        Returns:
            Of each image and expression, in the order given, a dict as of
            :func:`mmdit.apis.make_prediction` and ``Wording.read``, with
            ``low_res_logits`` and ``predicted_iou``, which needs a head with
            SAM's weights.
        """
        if threshold is None:
            threshold = self.threshold
        check_threshold(threshold)
        sources = list_sources(images)
        reads_text = self.model.text_encoder is not None
        questions = make_questions(
            expressions, len(sources), reads_text, points, boxes, masks
        )
        size = self._batch_size(batch_size)
        items = self._track(
            load_items(zip(sources, questions, strict=True), self._load),
            sum(map(len, questions)),
            size,
        )

        def predict(items: list[Item]) -> list[dict]:
            samples = self.forward(items, return_logits)
            rows = [
                describe(item, sample, threshold, return_probabilities)
                | self.wording.read(item.expression)
                for item, sample in zip(items, samples, strict=True)
            ]
            if return_datasamples:
                for row, sample in zip(rows, samples, strict=True):
                    row['datasample'] = sample
            del samples  # drawing needs memory, too
            overlays = self.visualize(items, rows) if return_vis else []
            for row, overlay in zip(rows, overlays, strict=return_vis):
                row['overlay'] = overlay
            return rows

        return predict_rows(make_batches(items, size), predict)

    def fingerprint(self) -> str:
        """Return what differs where predictions of two models may differ."""
        pipeline = find_pipeline(self.cfg.test_dataloader.dataset)
        return hash_model(repr((self.cfg.model, pipeline)), self.model)

    def probabilities(
        self,
        image: ImageSource,
        expressions: str | Sequence[str],
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return what thresholds are applied to, (K, H, W) float32.

        :func:`mmdit.apis.make_prediction` turns them into answers, at any
        threshold and without asking the model again.

        Args:
            image: An image.
            expressions: K expressions, or one.
            batch_size: As of a call.
        """
        reads_text = self.model.text_encoder is not None
        questions = make_questions(expressions, 1, reads_text)
        batches = self.preprocess(
            zip([image], questions, strict=True), self._batch_size(batch_size)
        )
        return np.concatenate(
            [
                sample.seg_logits.data.numpy()
                for items in batches
                for sample in self.forward(items)
            ]
        )

    def preprocess(
        self,
        inputs: Iterable[tuple[ImageSource, Sequence[Question]]],
        batch_size: int = 1,
        **kwargs: Any,
    ) -> Iterator[list[Item]]:
        """Yield batches of items; each image is loaded when its turn comes.

        Args:
            inputs: Images and the questions about each.
            batch_size: Items of a batch; the last may have fewer.
            kwargs: None; of the base class.
        """
        items = load_items(inputs, self._load)
        yield from raising(make_batches(items, batch_size))

    def _load(
        self, source: ImageSource, name: str | int, questions: Sequence
    ) -> list[Item]:
        """Read an image and send it through the pipeline, once."""
        if not questions:
            return []
        label = f'image {name}' if isinstance(name, int) else name
        pixels = read_image(source, label, self.max_pixels)
        for _, prompts in questions:
            prompts.check_within(pixels.shape[:2], name)
        picture = make_picture(name, pixels, self.pipeline)
        return [Item(picture, *question) for question in questions]

    def forward(
        self, inputs: list[Item], return_logits: bool = False, **kwargs: Any
    ) -> list[SegDataSample]:
        """Ask the model, in halves where memory does not suffice.

        Args:
            inputs: A batch.
            return_logits: Keep the logits, too.
            kwargs: None; of the base class.

        Returns:
            Data samples on the CPU, as large as the image.
        """
        return self._halving(
            lambda items: self._predict(items, return_logits), inputs
        )

    @torch.no_grad()
    def _predict(
        self, items: list[Item], return_logits: bool
    ) -> list[SegDataSample]:
        """Ask the model a batch."""
        model: Any = self.model
        samples = model.test_step(
            self.collate_fn([item.pack() for item in items])
        )
        for sample in samples if return_logits else ():
            masks = sample.pred_masks
            best = masks.low_res_logits[masks.scores.argmax()]
            logits = model.restore(best[None], sample)
            sample.raw_logits = PixelData(data=logits)
        return [sample.cpu() for sample in samples]

    def visualize(
        self, inputs: list[Item], preds: list[dict], **kwargs: Any
    ) -> list[np.ndarray]:
        """Draw the masks of a batch.

        Args:
            inputs: The batch.
            preds: Its predictions.
            kwargs: None; of the base class.
        """
        return [
            draw_comparison(
                item.picture.pixels[..., ::-1].copy(),
                item.title,
                prediction=row['mask'],
            )
            for item, row in zip(inputs, preds, strict=True)
        ]

    def postprocess(
        self,
        preds: list,
        visualization: list[np.ndarray],
        return_datasample: bool = False,
        **kwargs: Any,
    ) -> dict[str, list]:
        """Return both under MMEngine's names.

        Args:
            preds: Predictions, or data samples.
            visualization: Overlays.
            return_datasample: Not read, like what follows.
            kwargs: None.
        """
        return dict(predictions=preds, visualization=visualization)

    def _batch_size(self, given: int | None) -> int:
        """Check the batch size, or return that of the tests."""
        if given is None:
            return self.cfg.test_dataloader.batch_size
        if given < 1:
            raise ValueError(f'batch_size must be at least 1, got {given}')
        return given

    def _track(self, items: Iterable, total: int, size: int) -> Iterable:
        """Show how far the items are, where there are several batches."""
        if not self.show_progress or total <= size:
            return items
        console = Console(stderr=True)
        return track(items, 'Segmenting', total, console=console)

    def _init_model(
        self, cfg: Any, weights: str | None, device: str = 'cpu'
    ) -> nn.Module:
        """Build the model and fill it strictly."""
        with DefaultScope.overwrite_default_scope(self.scope):
            model = MODELS.build(cfg.model)
        load_weights(model, cfg, weights, self._allow_other_settings)
        return model.to(device).eval()

    def _init_pipeline(self, cfg: Any) -> Callable[[dict], dict]:
        """Build the test pipeline, without what reads a data set's files."""
        with DefaultScope.overwrite_default_scope(self.scope):
            return build_pipeline(cfg.test_dataloader.dataset)

    def _init_collate(self, cfg: Any) -> Callable[[list], Any]:
        """Take lists: nothing travels from another process here."""
        return pseudo_collate

    def _init_visualizer(self, cfg: Any) -> None:
        """Leave out the visualizer: its backends log training runs."""
