"""MMEngine's visualizer of an expression and its mask."""

import mmcv
import numpy as np
from mmengine.dist import master_only
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from mmdit.registry import VISUALIZERS
from mmdit.runtime.drawing import PREDICTION_COLOR, draw_comparison


@VISUALIZERS.register_module()
class ReferVisualizer(SegLocalVisualizer):
    """MMSegmentation's visualizer for one expression and one mask.

    Args:
        name: Name of the instance.
        vis_backends: Where :meth:`add_datasample` stores overlays.
        save_dir: Folder of the backends.
        alpha: Opacity of a mask's color.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        vis_backends: list[dict] | None = None,
        save_dir: str | None = None,
        alpha: float = 0.5,
    ) -> None:
        super().__init__(
            name,
            vis_backends=vis_backends,
            save_dir=save_dir,
            classes=['background', 'referent'],
            palette=[[0, 0, 0], list(PREDICTION_COLOR)],
            alpha=alpha,
        )

    def draw(
        self,
        image: np.ndarray,
        data_sample: SegDataSample,
        draw_gt: bool = True,
        draw_pred: bool = True,
    ) -> np.ndarray:
        """Draw a data sample over its (H, W, 3) RGB image."""

        def mask(wanted: bool, field: str) -> np.ndarray | None:
            if not wanted or field not in data_sample:
                return None
            data = getattr(data_sample, field).data
            return data[0].cpu().numpy().astype(bool)

        return draw_comparison(
            image,
            data_sample.expression,
            ground_truth=mask(draw_gt, 'gt_sem_seg'),
            prediction=mask(draw_pred, 'pred_sem_seg'),
            alpha=self.alpha,
        )

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        **kwargs: object,
    ) -> None:
        """Draw a data sample and show, write or store the overlay.

        Args:
            name: Name of the overlay in the backends.
            image: (H, W, 3) uint8, RGB.
            data_sample: Holds expression, ground truth and prediction.
            draw_gt: Whether to draw the ground truth.
            draw_pred: Whether to draw the prediction.
            show: Whether to open a window.
            wait_time: Seconds that the window stays; 0 waits for a key.
            out_file: Where to write the overlay; None stores it in the
                backends.
            step: Step of the run that the overlay belongs to.
            kwargs: Ignored; MMSegmentation's own options of other tasks.
        """
        if data_sample is not None:
            image = self.draw(image, data_sample, draw_gt, draw_pred)
        if show:
            self.show(image, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(image), out_file)
        elif not show:
            self.add_image(name, image, step)
