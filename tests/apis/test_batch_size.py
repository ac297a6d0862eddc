"""Batches are halved where memory does not suffice."""

import pytest
import torch

from mmdit.apis import batch_size
from mmdit.apis.batch_size import AutoBatchSize

ERRORS = [
    MemoryError(),
    torch.cuda.OutOfMemoryError('CUDA out of memory.'),
    RuntimeError('[enforce fail] DefaultCPUAllocator: not enough memory'),
]


class Device:
    """Doubles numbers, a limited number of them at a time."""

    def __init__(self, limit, error):
        self.limit, self.error, self.sizes = limit, error, []

    def __call__(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > self.limit:
            raise self.error
        return [2 * number for number in batch]


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(
        batch_size, 'print_log', lambda message, **_: lines.append(message)
    )
    return lines


@pytest.mark.parametrize('error', ERRORS, ids=lambda e: type(e).__name__)
def test_what_fits_is_found_remembered_and_said_once(error, said):
    device, halving = Device(3, error), AutoBatchSize()
    numbers = list(range(10))
    doubled = [2 * number for number in numbers]
    assert halving(device, numbers) == doubled
    assert device.sizes == [10, 5, 3, 3, 3, 1]
    assert halving(device, numbers) == doubled
    assert device.sizes[6:] == [3, 3, 3, 1]
    device.limit = 2
    assert halving(device, numbers) == doubled
    assert halving(device, numbers) == doubled
    (line,) = said
    assert line == (
        'a batch of 10 does not fit into memory; going on with 3 at a time'
    )


def test_nothing_is_said_where_everything_fits(said):
    device = Device(10, ERRORS[0])
    assert AutoBatchSize()(device, [1, 2]) == [2, 4]
    assert (device.sizes, said) == ([2], [])


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match='shapes'):
        AutoBatchSize()(Device(1, RuntimeError('shapes differ')), [1, 2])


def test_a_single_item_that_does_not_fit_is_an_error():
    with pytest.raises(MemoryError, match='not even one expression'):
        AutoBatchSize()(Device(0, ERRORS[0]), [1, 2])
