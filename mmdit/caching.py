"""What is kept of the last inputs, within a bound of memory."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import RLock
from typing import Generic, TypeVar

#: Some 20 trunks of ViT-B at 512 px.
CACHE_BYTES = 64 << 20
Kept = TypeVar('Kept')
# One for all caches, as it is held for an instant: models can be copied.
_LOCK = RLock()


class ByteCache(Generic[Kept]):
    """Keep the results used last; the longest unused go first.

    Several threads may use it.

    Args:
        max_bytes: Memory of all results; 0 keeps none.
        count: Returns the bytes of a result.

    Raises:
        ValueError: ``max_bytes`` is negative, or no number.
    """

    def __init__(self, max_bytes: int, count: Callable[[Kept], int]) -> None:
        self._count = count
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self.max_bytes = max_bytes

    @property
    def max_bytes(self) -> int:
        """Memory of all results; what is beyond a new bound is forgotten."""
        return self._max_bytes

    @max_bytes.setter
    def max_bytes(self, value: int) -> None:
        if not isinstance(value, (int, float)) or not value >= 0:
            raise ValueError(
                f'cache_bytes must be a number of bytes, 0 or more, got '
                f'{value!r}; 0 keeps nothing'
            )
        self._max_bytes = value
        self._shrink()

    @property
    def num_bytes(self) -> int:
        """Memory that is taken."""
        with _LOCK:
            return sum(map(self._count, self._kept.values()))

    def clear(self) -> None:
        """Forget everything."""
        with _LOCK:
            self._kept.clear()

    def _shrink(self) -> None:
        with _LOCK:
            while self.num_bytes > self.max_bytes:
                self._kept.popitem(last=False)

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """Return what is kept under ``key``, or what ``make()`` returns.

        Nobody may write into it.
        """
        with _LOCK:
            result = self._kept.pop(key, None)
            if result is not None:
                self._kept[key] = result
                return result
        result = make()
        with _LOCK:
            if self._count(result) <= self.max_bytes:
                self._kept[key] = result
                self._shrink()
        return result
