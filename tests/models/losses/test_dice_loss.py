import torch

from mmdit.registry import MODELS


def test_equals_the_dice_coefficient_counted_by_hand():
    loss = MODELS.build(dict(type='mmdit.MaskDiceLoss', eps=0.0))
    labels = torch.tensor([[[1, 1], [0, 0]], [[1, 0], [0, 0]]])
    sure = torch.tensor([[[[9.0, -9], [9, -9]]], [[[9, -9], [-9, -9]]]]) * 9
    # One of two pixels right among two predicted: 2*1/(2+2); then all right.
    torch.testing.assert_close(loss(sure, labels), torch.tensor(0.25))


def test_an_empty_truth_answered_by_nothing_costs_nothing():
    loss = MODELS.build(dict(type='mmdit.MaskDiceLoss', loss_weight=3.0))
    nothing = torch.full((1, 1, 4, 4), -30.0)
    empty = torch.zeros(1, 4, 4).long()
    torch.testing.assert_close(loss(nothing, empty), torch.tensor(0.0))
    assert loss(-nothing, empty) > 2.5
