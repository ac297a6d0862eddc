"""The last step of a pipeline: what the model receives."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from mmdit.registry import TRANSFORMS

META_KEYS = (
    'img_path',
    'ori_shape',
    'img_shape',
    'expression',
    'image_id',
    'ref_id',
    'ann_id',
    'sent_id',
    'sample_idx',
)
# Keys that some data sets give their items: where an item comes from among
# several data sets, whether its expression is no-target, and whether its
# image was turned or mirrored: predictions are mirrored back.
OPTIONAL_KEYS = (
    'dataset',
    'split',
    'split_by',
    'no_target',
    'turn_by_exif',
    'flip',
    'flip_direction',
)


@TRANSFORMS.register_module()
class PackReferSegInputs(BaseTransform):
    """Pack image, mask and expression.

    Args:
        meta_keys: Keys that the data sample carries as metainfo; each must be
            there.
        optional_keys: The same, for items that have them.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = META_KEYS,
        optional_keys: Sequence[str] = OPTIONAL_KEYS,
    ) -> None:
        self.meta_keys = tuple(meta_keys)
        self.optional_keys = tuple(optional_keys)

    def transform(self, results: dict) -> dict:
        """Return the packed item.

        Returns:
            ``inputs``: the image, (3, h, w) uint8; ``data_samples``: a
            ``SegDataSample`` with the expression among its metainfo and, where
            a mask was loaded, ``gt_sem_seg`` (1, H, W) int64, as
            MMSegmentation's losses take it; where prompts were sampled,
            ``prompts`` with ``points`` (P, 2) and ``labels`` (P,).
        """
        missing = [key for key in self.meta_keys if key not in results]
        if missing:
            raise KeyError(
                f'no {", ".join(missing)} in the item; add the transform that '
                'sets it, or set meta_keys of PackReferSegInputs'
            )
        present = [key for key in self.optional_keys if key in results]
        sample = SegDataSample(
            metainfo={key: results[key] for key in (*self.meta_keys, *present)}
        )
        if 'gt_seg_map' in results:
            mask = np.ascontiguousarray(results['gt_seg_map'], np.int64)
            sample.gt_sem_seg = PixelData(data=torch.from_numpy(mask)[None])
        if 'prompt_points' in results:
            sample.prompts = InstanceData(
                points=torch.from_numpy(results['prompt_points']),
                labels=torch.from_numpy(results['prompt_labels']),
            )
        return dict(inputs=_planes(results['img']), data_samples=sample)


def _planes(image: np.ndarray) -> torch.Tensor:
    """Return an (h, w, 3) image as a (3, h, w) tensor.

    OpenCV takes the channels apart several times as fast as numpy, unless the
    image is a view that it has to copy first.
    """
    if not image.flags.c_contiguous:
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    planes = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    cv2.split(image, list(planes))
    return torch.from_numpy(planes)
