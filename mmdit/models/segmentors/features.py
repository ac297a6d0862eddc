"""What was computed of images alone, for the next query about them."""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmdit.caching import ByteCache


class FeatureCache(ByteCache[tuple[Tensor, ...]]):
    """Keep what an encoder made of the last images, by a hash of each.

    Nothing is kept of several images at once, whose numbers might differ in
    the last bits from those of each alone, nor where gradients are wanted.

    Args:
        max_bytes: Memory of all that is kept, on the model's device; 0 keeps
            nothing.
    """

    def __init__(self, max_bytes: int = 0) -> None:
        super().__init__(max_bytes, _count_bytes)

    def encode(
        self,
        images: Tensor,
        encode: Callable[[Tensor], tuple[Tensor, ...]],
        encoder: nn.Module | None = None,
    ) -> tuple[Tensor, ...]:
        """Return ``encode(images)``, computed once for a single image.

        Args:
            images: (M, 3, h, w).
            encode: Returns tensors, which nobody may write into.
            encoder: What it computes with. Other weights than before, or
                changed ones, make other features.
        """
        if not self.max_bytes or len(images) > 1 or torch.is_grad_enabled():
            return encode(images)
        weights: list[Tensor] = []
        if encoder is not None:
            weights = [*encoder.parameters(), *encoder.buffers()]
        key = _identify(images), tuple(map(_state_of, weights))
        return self.get(key, lambda: encode(images))


def _count_bytes(feats: tuple[Tensor, ...]) -> int:
    return sum(feat.untyped_storage().nbytes() for feat in feats)


def _identify(image: Tensor) -> str:
    """Return what differs where features of two images may."""
    kind, precision = image.device.type, image.dtype
    if torch.is_autocast_enabled(kind):
        precision = torch.get_autocast_dtype(kind)
    pixels = image.cpu().contiguous().view(torch.uint8).numpy()
    digest = hashlib.sha256(pixels.data).hexdigest()
    return f'{image.shape} {image.dtype} {image.device} {precision} {digest}'


def _state_of(weight: Tensor) -> tuple:
    """Return what differs once a tensor was replaced or written into."""
    version = 0 if weight.is_inference() else weight._version
    return weight.data_ptr(), version, weight.dtype
