"""Images and expressions in, masks out.

Shapes: K expressions of an image of H x W pixels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from .images import MAX_PIXELS, ImageSource, read_image
from .memory import Halving
from .models import choose_device, load_config, load_weights
from .pipeline import (
    Item,
    Picture,
    Question,
    build_pipeline,
    make_picture,
    make_questions,
)
from .results import ResultWriter, check_threshold, make_prediction


@INFERENCERS.register_module()
class ReferringSegInferencer(BaseInferencer):
    """Segment what expressions refer to.

    Given the images and expressions of a data set in its order, without EXIF
    rotation among them, answers equal those of ``tools/test.py`` on the same
    device bit for bit, probabilities and masks, as long as batches are the
    same; the default ``batch_size`` sees to that. Batches of another size may
    change the last bits of a probability, because matrix products add up in
    another order.

    Args:
        model: Path of a config, a folder that ``tools/train.py`` wrote, a name
            of the model zoo (a config's, without ``.py``) or a ``Config``.
        weights: File, directory or URL of a checkpoint of any kind in
            ``docs/checkpoints.md``. By default that of the folder, what the
            model zoo lists or ``load_from`` of the config; if there is none
            of them, that is an error.
        device: Such as 'cpu' or 'cuda:0'; 'auto' takes an accelerator if there
            is one.
        show_progress: Show a progress bar where there are several batches.
        max_pixels: The largest image to accept, in pixels.
    """

    forward_kwargs = {'return_logits'}

    def __init__(
        self,
        model: str | Path | dict | Config,
        weights: str | Path | None = None,
        device: str | None = 'auto',
        show_progress: bool = True,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        cfg, known = load_config(model)
        super().__init__(
            cfg,
            str(weights) if weights is not None else known,
            choose_device(device),
            cfg.get('default_scope', 'mmdit'),
            show_progress,
        )
        self.max_pixels = max_pixels
        #: A pixel belongs to a mask where its probability exceeds this.
        self.threshold = float(self.model.decode_head.threshold)
        self._halving = Halving()

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        expressions: Expressions = None,
        return_datasamples: bool = False,
        batch_size: int | None = None,
        *,
        points: Any = None,
        boxes: Any = None,
        masks: Any = None,
        threshold: float | None = None,
        out_dir: str | Path | None = None,
        return_vis: bool = False,
        return_probabilities: bool = False,
        return_logits: bool = False,
    ) -> dict:
        """Answer expressions about images.

        Args:
            images: One image, a list of them, or a folder. See
                :func:`mmdit.apis.read_image` for what an image may be; arrays
                are BGR, tensors RGB.
            expressions: One for all images; a list, each image is asked them
                all; or a list of lists, one list for each image. None is a
                question without words, about points, a box or a mask.
            return_datasamples: Return MMSegmentation's data samples instead
                of dicts.
            batch_size: Expressions that the encoder takes at a time; by
                default that of the config's ``test_dataloader``. It is halved
                where memory does not suffice.
            points: Rows of x, y and label, 1 inside and 0 outside, in pixels
                of the image as people see it. With several questions, a list
                with such rows or None for each, in the order of the answers.
            boxes: Left, top, right and bottom, or a list, likewise.
            masks: ``low_res_logits`` of an earlier answer, which the points
                correct, or a list, likewise.
            threshold: A pixel belongs to a mask where its probability exceeds
                this; by default the model's own.
            out_dir: Folder for ``overlays/*.png``, ``masks/*.png`` and
                ``predictions.json``.
            return_vis: Return the overlays, too.
            return_probabilities: Add ``probabilities``, (H, W) float32, to
                each prediction.
            return_logits: Add ``logits``, (H, W) float32, whose sigmoid they
                are.

        Returns:
            ``predictions``, one for each image and expression, expressions of
            an image together, in the order given: dicts as of
            :func:`mmdit.apis.make_prediction`, where ``score`` is the mean
            probability of the mask's pixels, with ``predicted_iou``, which
            means something where the head has SAM's weights, and
            ``low_res_logits``. ``visualization``, the overlays
            in the same order, (H', W', 3) uint8, RGB.
        """
        if threshold is None:
            threshold = self.threshold
        check_threshold(threshold)
        sources = self._inputs_to_list(images)
        reads_text = self.model.text_encoder is not None
        questions = make_questions(
            expressions, len(sources), reads_text, points, boxes, masks
        )
        size = self._batch_size(batch_size)
        batches = self._track(
            self.preprocess(zip(sources, questions, strict=True), size),
            -(-sum(map(len, questions)) // size),
        )
        writer = None if out_dir is None else ResultWriter(out_dir)
        results: dict[str, list] = dict(predictions=[], visualization=[])
        try:
            for items in batches:
                samples = self.forward(items, return_logits)
                rows = [
                    self._answer(item, sample, threshold, return_probabilities)
                    for item, sample in zip(items, samples, strict=True)
                ]
                overlays = []
                if return_vis or writer:
                    overlays = self.visualize(items, rows)
                if writer:
                    for row, overlay in zip(rows, overlays, strict=True):
                        writer.write(row, overlay)
                part = self.postprocess(
                    samples if return_datasamples else rows,
                    overlays if return_vis else [],
                )
                for key, values in part.items():
                    results[key] += values
        finally:
            if writer:
                writer.close()
        return results

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
        items = (
            Item(picture, expression, prompts)
            for picture, questions in self._load(inputs)
            for expression, prompts in questions
        )
        yield from self._get_chunk_data(items, batch_size)

    def _load(
        self, inputs: Iterable[tuple[ImageSource, Sequence[Question]]]
    ) -> Iterator[tuple[Picture, Sequence[Question]]]:
        """Read images and send each through the pipeline, once."""
        for i, (source, questions) in enumerate(inputs):
            pixels = read_image(source, f'image {i}', self.max_pixels)
            name = str(source) if isinstance(source, (str, Path)) else i
            for _, prompts in questions:
                prompts.check_within(pixels.shape[:2], name)
            yield make_picture(name, pixels, self.pipeline), questions

    def forward(
        self, inputs: list[Item], return_logits: bool = False, **kwargs: Any
    ) -> list[SegDataSample]:
        """Ask the model, in halves where memory does not suffice.

        Args:
            inputs: A batch.
            return_logits: Keep the logits, too.
            kwargs: None; of the base class.

        Returns:
            Data samples on the CPU, with ``pred_sem_seg`` and ``seg_logits``
            (the probabilities, as MMSegmentation calls them) at the size of
            the original image, and maybe ``raw_logits``.
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

    def _answer(
        self,
        item: Item,
        sample: SegDataSample,
        threshold: float,
        keep_probabilities: bool,
    ) -> dict:
        """Describe a data sample, and let its mask follow the threshold."""
        probabilities = sample.seg_logits.data
        sample.pred_sem_seg.data = (probabilities > threshold).to(
            probabilities
        )
        row = make_prediction(
            item.picture.name,
            item.expression,
            probabilities[0].numpy(),
            threshold,
        )
        if keep_probabilities:
            row['probabilities'] = probabilities[0].numpy()
        masks = sample.pred_masks
        best = masks.scores.argmax()
        row['predicted_iou'] = float(masks.scores[best])
        row['low_res_logits'] = masks.low_res_logits[best][None].numpy()
        if 'raw_logits' in sample:
            row['logits'] = sample.raw_logits.data[0].numpy()
        return row

    def visualize(
        self, inputs: list[Item], preds: list[dict], **kwargs: Any
    ) -> list[np.ndarray]:
        """Draw the masks of a batch.

        Args:
            inputs: The batch.
            preds: Its predictions.
            kwargs: None; of the base class.

        Returns:
            (H', W', 3) uint8, RGB, for each.
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
            return_datasample: Not read: ``preds`` are what is wanted.
            kwargs: None; of the base class.
        """
        return dict(predictions=preds, visualization=visualization)

    def _inputs_to_list(self, inputs: Any) -> list:
        """List the images of a folder, or of whatever else is given."""
        return list_sources(inputs)

    def _batch_size(self, given: int | None) -> int:
        """Check the batch size, or return that of the tests."""
        if given is None:
            return self.cfg.test_dataloader.batch_size
        if given < 1:
            raise ValueError(f'batch_size must be at least 1, got {given}')
        return given

    def _track(self, batches: Iterable, total: int) -> Iterable:
        """Show how far the batches are, where there are several."""
        if not self.show_progress or total < 2:
            return batches
        console = Console(stderr=True)
        return track(batches, 'Segmenting', total, console=console)

    def _init_model(
        self, cfg: Any, weights: str | None, device: str = 'cpu'
    ) -> nn.Module:
        """Build the model and fill it strictly."""
        with DefaultScope.overwrite_default_scope(self.scope):
            model = MODELS.build(cfg.model)
        load_weights(model, cfg, weights)
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
