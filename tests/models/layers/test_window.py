import pytest
import torch
from segment_anything.modeling.image_encoder import window_partition

from mmdit.models.layers import merge_windows, split_windows


@pytest.mark.parametrize('grid', [(6, 6), (5, 7), (2, 9)])
def test_windows_equal_sams_and_come_back(grid):
    x = torch.randn(2, *grid, 4)
    windows = split_windows(x, 3)
    torch.testing.assert_close(windows, window_partition(x, 3)[0])
    torch.testing.assert_close(merge_windows(windows, grid), x)
