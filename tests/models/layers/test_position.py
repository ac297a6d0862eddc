import pytest
import torch
from segment_anything.modeling.image_encoder import get_rel_pos

from mmdit.models.layers import (
    TableCache,
    relative_table,
    resize_position,
    sine_cosine_table,
)


def test_relative_table_equals_sams():
    table = torch.randn(27, 8)
    for size in (3, 14, 32):
        expected = get_rel_pos(size, size, table)
        torch.testing.assert_close(relative_table(table, size), expected)


def test_positions_of_the_pretraining_grid_are_left_alone():
    table = torch.randn(1, 8, 8, 4)
    assert resize_position(table, (8, 8)) is table


def test_resized_positions_keep_their_orientation():
    rows = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 8, 1)
    resized = resize_position(rows, (4, 6))
    assert resized.shape == (1, 4, 6, 1)
    assert (resized.diff(dim=1) > 0).all()
    torch.testing.assert_close(resized[:, :, :1].expand_as(resized), resized)


def test_sine_cosine_positions_are_all_different_and_separable():
    table = sine_cosine_table(5, 8)
    assert table.shape == (1, 5, 5, 8)
    distances = torch.cdist(table.view(25, 8), table.view(25, 8))
    assert (distances + torch.eye(25) > 0.01).all()
    rows, columns = table[0].split(4, dim=2)
    assert torch.equal(rows[:, 0], rows[:, 4])
    assert torch.equal(columns[0], columns[4])
    assert torch.equal(rows[:, 0], columns[0])


@pytest.fixture
def counted():
    """A cache, a table, and how often the table was resized."""
    calls = []

    def make(table, size):
        calls.append(size)
        return table * size

    return TableCache(), torch.nn.Parameter(torch.ones(3)), make, calls


@torch.no_grad()
def test_a_table_is_resized_once_per_size(counted):
    cache, table, make, calls = counted
    for size in (2, 2, 2, 3, 3):
        assert torch.equal(cache.get(make, table, size), table * size)
    assert calls == [2, 3]


@torch.no_grad()
def test_a_changed_table_is_resized_again(counted):
    cache, table, make, _ = counted
    cache.get(make, table, 2)
    table.add_(1)
    assert cache.get(make, table, 2).tolist() == [4, 4, 4]
    table.data = torch.zeros(3)
    assert cache.get(make, table, 2).tolist() == [0, 0, 0]


def test_gradients_reach_the_table_in_training(counted):
    cache, table, make, calls = counted
    for _ in range(2):
        cache.get(make, table, 2).sum().backward()
    assert table.grad.tolist() == [4, 4, 4] and calls == [2, 2]


def test_what_inference_made_can_be_trained_with(counted):
    cache, table, make, _ = counted
    table.requires_grad_(False)
    with torch.inference_mode():
        cache.get(make, table, 2)
    other = torch.ones(3, requires_grad=True)
    (cache.get(make, table, 2) * other).sum().backward()
    assert other.grad.tolist() == [2, 2, 2]
