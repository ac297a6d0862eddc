"""What is kept of the last inputs, within a bound of memory."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

#: Some 20 trunks of ViT-B at 512 px.
CACHE_BYTES = 64 << 20
Kept = TypeVar('Kept')


class ByteCache(Generic[Kept]):
    """Keep the results used last; the longest unused go first.

    Args:
        max_bytes: Memory of all results; 0 keeps none.
        count: Returns the bytes of a result.
    """

    def __init__(self, max_bytes: int, count: Callable[[Kept], int]) -> None:
        self.max_bytes = max_bytes
        self._count = count
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    @property
    def num_bytes(self) -> int:
        """Memory that is taken."""
        return sum(map(self._count, self._kept.values()))

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """Return what is kept under ``key``, or what ``make()`` returns.

        Nobody may write into it.
        """
        result = self._kept.pop(key, None)
        if result is None:
            result = make()
        if self._count(result) <= self.max_bytes:
            self._kept[key] = result
        while self.num_bytes > self.max_bytes:
            self._kept.popitem(last=False)
        return result
