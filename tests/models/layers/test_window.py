import pytest
import torch
from segment_anything.modeling.image_encoder import window_partition

from mmdit.models.layers import merge_windows, split_windows


@pytest.mark.parametrize('grid', [(6, 6), (5, 7), (2, 9)])
def test_windows_equal_sams_and_come_back(grid):
    x = torch.randn(2, *grid, 4)
    windows = split_windows(x.flatten(1, 2), grid, 3)
    torch.testing.assert_close(
        windows, window_partition(x, 3)[0].flatten(1, 2)
    )
    torch.testing.assert_close(
        merge_windows(windows, grid, 3), x.flatten(1, 2)
    )


@pytest.mark.parametrize('grid', [(6, 6), (5, 7)])
def test_text_joins_every_window_and_comes_back_as_the_mean(grid):
    x = torch.randn(2, 5 + grid[0] * grid[1], 4)
    windows = split_windows(x, grid, 3)
    count = windows.shape[0] // 2
    torch.testing.assert_close(
        windows[:, :5], x[:, :5].repeat_interleave(count, dim=0)
    )
    torch.testing.assert_close(merge_windows(windows, grid, 3), x)
    windows[0, :5] += count
    x[0, :5] += 1
    torch.testing.assert_close(merge_windows(windows, grid, 3), x)


def test_padding_is_the_given_token():
    x, padding = torch.randn(1, 5 * 7, 4), torch.randn(4)
    padded = split_windows(x, (5, 7), 3, padding)
    shifted = split_windows(x - padding, (5, 7), 3) + padding
    torch.testing.assert_close(padded, shifted)
