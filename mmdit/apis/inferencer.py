"""Images and expressions in, masks out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from rich.console import Console
from rich.progress import track
from torch import nn

from mmdit.caching import CACHE_BYTES
from mmdit.checkpoints.loading import load_weights
from mmdit.datasets.pipeline import build_pipeline, find_pipeline
from mmdit.registry import INFERENCERS, MODELS
from mmdit.runtime.images import MAX_PIXELS, ImageSource
from mmdit.runtime.queries import Query
from mmdit.runtime.segmenter import Segmenter, draw
from mmdit.runtime.streaming import Item, load_items, make_batches, raising
from mmdit.runtime.wording import Wording

from .batch_size import AutoBatchSize
from .models import choose_device, load_config
from .samples import describe, pack


@INFERENCERS.register_module()
class ReferringSegInferencer(Segmenter, BaseInferencer):
    """Segment what expressions refer to, with the model itself.

    Given the images and expressions of a data set in its order, without EXIF
    rotation among them, predictions equal those of ``mmdit test`` on the same
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
        cache_bytes: Memory for what was computed of the last images alone, so
            that another query about one costs only the rest: the blocks
            before the first with text, or all without text in the encoder.
            Predictions are the same bit for bit. 0 keeps nothing.

    :meth:`iterate` takes ``return_logits``, which adds ``logits``, (H0, W0)
    float32, whose sigmoid the probabilities are; and ``return_datasamples``,
    which adds ``datasample``, MMSegmentation's. Each prediction has
    ``low_res_masks`` and ``predicted_iou``, which needs a head with SAM's
    weights.
    """

    extras = frozenset({'return_datasamples', 'return_logits'})

    def __init__(
        self,
        model: str | Path | dict | Config | None = None,
        weights: str | Path | None = None,
        device: str | None = 'auto',
        show_progress: bool = True,
        max_pixels: int = MAX_PIXELS,
        allow_other_settings: bool = False,
        cache_bytes: int = CACHE_BYTES,
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
        self.model.features.max_bytes = cache_bytes
        self.threshold = float(self.model.decode_head.threshold)
        self._auto_batch = AutoBatchSize()
        self.wording = Wording.of(self.model.text_encoder)
        self.batch_size = cfg.test_dataloader.batch_size
        trained_on = getattr(self.model, 'trained_on', None)
        self.description = self.wording.describe(trained_on)
        if show_progress:
            print_log(self.description, logger='current')

    def fingerprint(self) -> str:
        """Return what differs where predictions of two models may differ."""
        pipeline = find_pipeline(self.cfg.test_dataloader.dataset)
        digest = sha256(repr((self.cfg.model, pipeline)).encode())
        for name, tensor in self.model.state_dict().items():
            digest.update(f'{name} {tensor.dtype} {[*tensor.shape]}'.encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy())
        return digest.hexdigest()

    def _check(self, expression: str | None, prompts: Any) -> None:
        """Reject words where the model reads none."""
        if expression is not None and self.model.text_encoder is None:
            raise ValueError(
                f'this model reads no text, but got {expression!r}; give '
                'it points, boxes or masks only, or take a model with a text '
                'encoder'
            )

    def _prepare(self, name: str | int, pixels: np.ndarray) -> dict:
        """Send (H0, W0, 3) BGR pixels through the test pipeline."""
        size = pixels.shape[:2]
        return self.pipeline(
            dict(
                img=pixels, img_path=str(name), img_shape=size, ori_shape=size
            )
        )

    def _predict(
        self,
        items: list[Item],
        threshold: float,
        return_logits: bool = False,
        return_datasamples: bool = False,
        **kwargs: Any,
    ) -> list[dict]:
        """Run inference, and describe its results."""
        samples = self.forward(items, return_logits)
        predictions = [describe(sample, threshold) for sample in samples]
        if return_datasamples:
            for prediction, sample in zip(predictions, samples, strict=True):
                prediction['datasample'] = sample
        return predictions

    def preprocess(
        self,
        inputs: Iterable[tuple[ImageSource, Sequence[Query]]],
        batch_size: int = 1,
        **kwargs: Any,
    ) -> Iterator[list[Item]]:
        """Yield batches of items; each image is loaded when its turn comes.

        Args:
            inputs: Images and the queries about each.
            batch_size: Items of a batch; the last may have fewer.
            kwargs: None; of the base class.
        """
        items = load_items(inputs, self._load)
        yield from raising(make_batches(items, batch_size))

    def forward(
        self, inputs: list[Item], return_logits: bool = False, **kwargs: Any
    ) -> list[SegDataSample]:
        """Run inference, in halves where memory does not suffice.

        Args:
            inputs: A batch.
            return_logits: Keep the logits, too.
            kwargs: None; of the base class.

        Returns:
            Data samples on the CPU, as large as the image.
        """
        return self._auto_batch(
            lambda items: self._test_step(items, return_logits), inputs
        )

    @torch.no_grad()
    def _test_step(
        self, items: list[Item], return_logits: bool
    ) -> list[SegDataSample]:
        """Run inference on a batch that fits into memory."""
        model: Any = self.model
        samples = model.test_step(
            self.collate_fn([pack(item) for item in items])
        )
        for sample in samples if return_logits else ():
            masks = sample.pred_masks
            best = masks.low_res_masks[masks.scores.argmax()]
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
        return list(map(draw, inputs, preds))

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
