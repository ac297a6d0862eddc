import torch
from segment_anything.modeling.image_encoder import get_rel_pos

from mmdit.models.layers import relative_table, resize_position


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
