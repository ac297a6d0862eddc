"""An inferencer that predicts at once, so that the page has the most to do."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from mmdit.runtime.prompts import broadcast_prompts
from mmdit.runtime.wording import Wording

# Of the logits, pixels; as those of a model of 1024 px.
_GRID = 256
_MASKS = 3


class StandIn:
    """Finds what is in the middle, and checks prompts as a model does."""

    threshold, max_pixels, description = 0.5, 64_000_000, 'a stand-in'
    wording = Wording(None, 0)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.model = SimpleNamespace(
            train_points=True,
            text_encoder=object(),
            features=SimpleNamespace(),
            restore=lambda logits, sample: _hill(sample.ori_shape)[None],
        )

    def __call__(
        self,
        pixels: np.ndarray,
        expressions: Sequence[str | None],
        return_datasamples: bool = True,
        **prompts: Any,
    ) -> dict:
        """Return data samples, one for each expression."""
        size = pixels.shape[:2]
        for prompt in broadcast_prompts(len(expressions), **prompts):
            prompt.check_within(size, 'photo.png')
        return dict(predictions=[_sample(size) for _ in expressions])


def _sample(size: tuple[int, int]) -> SegDataSample:
    found = _hill(size)[None]
    sample = SegDataSample(metainfo=dict(ori_shape=size))
    sample.seg_logits = PixelData(data=found)
    sample.pred_sem_seg = PixelData(data=(found > 0.5).to(found))
    sample.pred_masks = InstanceData(
        masks=(found > 0.5).expand(_MASKS, -1, -1),
        scores=torch.tensor([0.5, 0.9, 0.7]),
        low_res_masks=torch.zeros(_MASKS, _GRID, _GRID),
    )
    return sample


def _hill(size: tuple[int, int]) -> torch.Tensor:
    """Return (H, W) probabilities that are highest in the middle."""
    return torch.from_numpy(np.outer(*map(np.hanning, size))).float()
