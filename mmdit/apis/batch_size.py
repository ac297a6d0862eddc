"""Batches that are halved where memory does not suffice."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from mmengine.logging import print_log

Item = TypeVar('Item')
Result = TypeVar('Result')


class AutoBatchSize:
    """Call a function on batches, and on halves of what does not fit.

    It remembers what fits, and says so once.
    """

    def __init__(self) -> None:
        self.largest: int | None = None

    def __call__(
        self, function: Callable[[list[Item]], list[Result]], items: list[Item]
    ) -> list[Result]:
        """Return ``function(items)``, whose result has one entry per item."""
        results: list[Result] = []
        known = self.largest
        size = known or len(items)
        while len(results) < len(items):
            batch = items[len(results) : len(results) + size]
            found = _try(function, batch)
            if found is not None:
                results += found
                continue
            if len(batch) == 1:
                raise MemoryError(
                    'not even one expression at a time fits into memory; use '
                    'a smaller image or model, or another device'
                )
            self.largest = size = (len(batch) + 1) // 2
        if known is None and self.largest:
            print_log(
                f'a batch of {len(items)} does not fit into memory; going on '
                f'with {self.largest} at a time',
                logger='current',
                level=logging.WARNING,
            )
        return results


def _try(function: Callable, batch: list) -> list | None:
    """Return the function's result, None if memory did not suffice.

    The error is gone on return, and with it the frames that hold tensors.
    """
    try:
        return function(batch)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, on whatever device."""
    return isinstance(
        error, (MemoryError, torch.cuda.OutOfMemoryError)
    ) or 'DefaultCPUAllocator' in str(error)
