"""Features of images that are queried again, click after click."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor


class FeatureCache:
    """Keep the features of the last images, by a hash of their pixels.

    Args:
        size: How many images; 0 keeps none.
    """

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self._kept: OrderedDict[str, tuple[Tensor, ...]] = OrderedDict()

    def get(
        self, image: Tensor, encode: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """Return the features of a (1, 3, h, w) image, encoding it once."""
        if not self.size:
            return encode(image)
        pixels = image.float().cpu().contiguous().numpy()
        key = f'{image.shape}{hashlib.sha256(pixels.data).hexdigest()}'
        feats = self._kept.pop(key, None)
        if feats is None:
            feats = encode(image)
        self._kept[key] = feats
        while len(self._kept) > self.size:
            self._kept.popitem(last=False)
        return feats
