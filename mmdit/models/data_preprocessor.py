"""From a list of images to a batch.

Shapes: B batch, (h, w) an image, (H, W) the size of the batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from mmengine.structures import BaseDataElement, PixelData

from mmdit.deprecation import renamed
from mmdit.registry import MODELS


@MODELS.register_module()
class ReferDataPreprocessor(ImgDataPreprocessor):
    """Normalize images and pad them to one size.

    Padding comes after normalization, so that it is exactly 0. Each data
    sample learns ``padding_size`` (left, right, top, bottom), which
    MMSegmentation's ``postprocess_result`` takes off again, ``pad_shape`` and
    ``batch_input_shape``; the points of its ``prompts``, where there are any,
    move along. In training the mask is padded alike; in testing it
    stays as it is, at the size of the original image.

    Args:
        mean: Mean of each channel, R, G, B if ``bgr_to_rgb``. None: images are
            not normalized.
        std: Standard deviation of each channel.
        bgr_to_rgb: Swap the channels, because mmcv loads BGR.
        size: Size of the batch (H, W).
        pad_center: Whether padding surrounds the image; else it lies right and
            below, as SAM has it.
        non_blocking: Copy to the device asynchronously.
    """

    @renamed(centred='pad_center')
    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        bgr_to_rgb: bool = True,
        size: Sequence[int] = (512, 512),
        pad_center: bool = True,
        non_blocking: bool = False,
    ) -> None:
        for values in (mean, std):
            if not all(isinstance(v, (int, float)) for v in values or ()):
                raise ValueError(
                    'mean and std of ReferDataPreprocessor are numbers, one '
                    f'for each channel, got {values!r}'
                )
        super().__init__(
            mean=mean,
            std=std,
            bgr_to_rgb=bgr_to_rgb,
            non_blocking=non_blocking,
        )
        height, width = size
        self.size = (int(height), int(width))
        self.pad_center = pad_center
        self.bgr_to_rgb = bgr_to_rgb
        if mean is None:
            self.register_buffer('mean', None, persistent=False)
            self.register_buffer('std', None, persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return the batch.

        Args:
            data: ``inputs``, B images (3, h, w), and ``data_samples``, one
                for each, or none at all.
            training: Whether masks are padded as well.

        Returns:
            ``inputs`` (B, 3, H, W) float32 and ``data_samples``.
        """
        data = self.cast_data(data)
        images = data['inputs']
        samples = data.get('data_samples')
        batch = torch.zeros(len(images), 3, *self.size, device=self.device)
        for i, image in enumerate(images):
            sample = None if samples is None else samples[i]
            padding = self._padding(image, sample)
            left, _, top, _ = padding
            height, width = image.shape[-2:]
            target = batch[i, :, top : top + height, left : left + width]
            target.copy_(image.flip(0) if self._channel_conversion else image)
            if self._enable_normalize:
                target.sub_(self.mean).div_(self.std)
            if sample is not None:
                self._annotate(sample, padding)
                if training:
                    _pad_mask(sample, image, padding)
        return dict(data, inputs=batch, data_samples=samples)

    def _padding(
        self, image: torch.Tensor, sample: BaseDataElement | None
    ) -> tuple[int, int, int, int]:
        """Return the padding (left, right, top, bottom) of an image."""
        height, width = image.shape[-2:]
        free_height, free_width = self.size[0] - height, self.size[1] - width
        if min(free_height, free_width) < 0:
            path = (
                'image' if sample is None else sample.get('img_path', 'image')
            )
            raise ValueError(
                f'{path} arrives as {height}x{width} (height x width), which '
                f'does not fit into size {self.size[0]}x{self.size[1]}: set '
                'scale of Resize in the pipeline, with keep_ratio=True, or '
                'size of ReferDataPreprocessor'
            )
        left, top = 0, 0
        if self.pad_center:
            left, top = free_width // 2, free_height // 2
        return left, free_width - left, top, free_height - top

    def _annotate(
        self, sample: BaseDataElement, padding: tuple[int, int, int, int]
    ) -> None:
        sample.set_metainfo(
            dict(
                padding_size=padding,
                pad_shape=self.size,
                batch_input_shape=self.size,
            )
        )
        if 'prompts' in sample:
            left, _, top, _ = padding
            prompts = sample.prompts.clone()
            prompts.points = prompts.points + prompts.points.new_tensor(
                [left, top]
            )
            sample.prompts = prompts


def _pad_mask(
    sample: BaseDataElement,
    image: torch.Tensor,
    padding: tuple[int, int, int, int],
) -> None:
    """Pad the mask of a training sample like its image."""
    if 'gt_sem_seg' not in sample:
        return
    mask = sample.gt_sem_seg.data
    if mask.shape[-2:] != image.shape[-2:]:
        raise ValueError(
            f'{sample.get("img_path")}: image {tuple(image.shape[-2:])} and '
            f'mask {tuple(mask.shape[-2:])} differ in size; in a training '
            'pipeline LoadReferMask must come before Resize'
        )
    sample.gt_sem_seg = PixelData(data=F.pad(mask, padding))
