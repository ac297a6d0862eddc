"""What was computed of images alone, for the next query about them."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor


class FeatureCache:
    """Keep what an encoder made of the last images, by a hash of each.

    Nothing is kept of several images at once, whose numbers might differ in
    the last bits from those of each alone, nor where gradients are wanted.

    Args:
        max_bytes: Memory of all that is kept, on the model's device; 0 keeps
            nothing.
    """

    def __init__(self, max_bytes: int = 0) -> None:
        self.max_bytes = max_bytes
        self._kept: OrderedDict[str, tuple[Tensor, ...]] = OrderedDict()

    @property
    def num_bytes(self) -> int:
        """Memory that is taken."""
        return sum(map(_count_bytes, self._kept.values()))

    def clear(self) -> None:
        """Forget everything: the weights have changed."""
        self._kept.clear()

    def get(
        self, images: Tensor, encode: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """Return ``encode(images)``, computed once for a single image.

        Args:
            images: (M, 3, h, w).
            encode: Returns tensors, which nobody may write into.
        """
        if not self.max_bytes or len(images) > 1 or torch.is_grad_enabled():
            return encode(images)
        key = _identify(images)
        feats = self._kept.pop(key, None)
        if feats is None:
            feats = encode(images)
        if _count_bytes(feats) <= self.max_bytes:
            self._kept[key] = feats
        while self.num_bytes > self.max_bytes:
            self._kept.popitem(last=False)
        return feats


def _count_bytes(feats: tuple[Tensor, ...]) -> int:
    return sum(feat.untyped_storage().nbytes() for feat in feats)


def _identify(image: Tensor) -> str:
    """Return what differs where features of two images may."""
    kind = image.device.type
    precision = image.dtype
    if torch.is_autocast_enabled(kind):
        precision = torch.get_autocast_dtype(kind)
    pixels = image.cpu().contiguous().view(torch.uint8).numpy()
    digest = hashlib.sha256(pixels.data).hexdigest()
    return f'{image.shape} {image.dtype} {image.device} {precision} {digest}'
