"""One overlay per expression, while validating and testing."""

from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from mmseg.structures import SegDataSample

from mmdit.datasets.transforms import LoadReferImage
from mmdit.registry import HOOKS
from mmdit.runtime.drawing import overlay_name


@HOOKS.register_module()
class ReferVisualizationHook(Hook):
    """Draw image, expression, ground truth and prediction side by side.

    While validating, the first expression of every ``interval``-th batch goes
    to the visualizer's backends. While testing, every expression gets an
    overlay: in ``show_dir`` where it is given, one file each and from every
    process, else in the backends.

    Args:
        draw: Whether to draw at all. ``mmdit test`` sets it.
        interval: Validation batches between two overlays.
        show: Whether to open a window per overlay.
        wait_time: Seconds that a window stays.
        show_dir: Folder of the overlays of a test.
        backend_args: How MMEngine reads images from other storage.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 50,
        show: bool = False,
        wait_time: float = 0.0,
        show_dir: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        self.draw = draw
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.show_dir = show_dir
        self.backend_args = backend_args

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Store the first expression of every ``interval``-th batch."""
        if self.draw and outputs and batch_idx % self.interval == 0:
            self._add(runner, outputs[0], runner.iter + batch_idx)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw every expression of the batch."""
        if not self.draw:
            return
        for sample in outputs or ():
            if self.show_dir is None or self.show:
                self._add(runner, sample, batch_idx)
            if self.show_dir is not None:
                # Not through add_datasample, which only rank 0 carries out:
                # every process holds expressions of its own.
                visualizer = Visualizer.get_current_instance()
                overlay = visualizer.draw(self._read(sample), sample)
                name = overlay_name(sample.img_path, sample.sent_id)
                path = Path(self.show_dir) / name
                mmcv.imwrite(mmcv.rgb2bgr(overlay), str(path))

    def _add(self, runner: Runner, sample: SegDataSample, step: int) -> None:
        """Hand one expression to the visualizer."""
        runner.visualizer.add_datasample(
            overlay_name(sample.img_path, sample.sent_id),
            self._read(sample),
            data_sample=sample,
            show=self.show,
            wait_time=self.wait_time,
            step=step,
        )

    def _read(self, sample: SegDataSample) -> np.ndarray:
        """Read a sample's image, RGB, turned as it was for the model."""
        path, turned = sample.img_path, sample.get('turn_by_exif', False)
        load = LoadReferImage(backend_args=self.backend_args).load
        return mmcv.bgr2rgb(load(path, path, turned)[0])
