"""Test-time augmentation: several views of an image, one prediction."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdit.registry import MODELS


@MODELS.register_module()
class ReferTTAModel(BaseTTAModel):
    """Average the probabilities of an expression's views.

    The counterpart of MMSegmentation's ``SegTTAModel``; ``mmdit test --tta``
    wraps a model in it. The segmentor has brought each view back to the
    original image, mirrored ones as well.

    Args:
        module: Config of a :class:`ReferringSegmentor`.

    Raises:
        ValueError: Its masks are no thresholded probabilities at the size of
            the original image (``threshold_first``).
    """

    def __init__(self, module: dict) -> None:
        super().__init__(module)
        if self.module.threshold_first:
            raise ValueError(
                'test-time augmentation averages before the threshold: set '
                'threshold_first=False of the model'
            )

    def merge_preds(
        self, data_samples_list: Sequence[Sequence[SegDataSample]]
    ) -> list[SegDataSample]:
        """Return one prediction for each expression.

        Args:
            data_samples_list: Of each expression its views, with
                ``seg_logits`` (1, H0, W0), which are probabilities.

        Returns:
            Data samples with the mean as ``seg_logits`` and its mask as
            ``pred_sem_seg``; all else, such as the words of the expression,
            is that of the first view that is not mirrored.
        """
        merged = []
        for views in data_samples_list:
            mean = torch.stack([v.seg_logits.data for v in views]).mean(0)
            sample = min(views, key=lambda view: bool(view.get('flip')))
            sample.seg_logits = PixelData(data=mean)
            mask = mean > self.module.decode_head.threshold
            sample.pred_sem_seg = PixelData(data=mask.to(mean))
            # Those of one view alone.
            sample.pop('pred_masks', None)
            merged.append(sample)
        return merged
