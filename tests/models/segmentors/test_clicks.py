import torch

from mmdit.models.segmentors.clicks import simulate_click


def draw(predicted, truth, number=400):
    """Click often; return rows and columns (B, number) and the labels."""
    height, width = truth.shape[-2:]
    points, labels = zip(
        *(simulate_click(predicted, truth) for _ in range(number)),
        strict=True,
    )
    xy = torch.cat(points, 1) * torch.tensor([width, height]) - 0.5
    assert torch.equal(xy, xy.round())
    return xy.long().flip(-1).unbind(-1), torch.cat(labels, 1)


def test_clicks_fall_on_every_wrong_pixel_and_on_no_other():
    torch.manual_seed(0)
    truth, predicted = torch.zeros(2, 2, 6, 8).bool()
    truth[0, 1:3, 2:5] = truth[1, 0, 0] = True
    predicted[0, 2:4, 2:5] = True
    (rows, columns), labels = draw(predicted, truth)
    expected = {(y, x) for y in (1, 3) for x in (2, 3, 4)}
    found = zip(rows[0].tolist(), columns[0].tolist(), strict=True)
    assert set(found) == expected
    # A miss is clicked as inside, what is too much as outside.
    assert torch.equal(labels[0] == 1, rows[0] == 1)
    assert not rows[1].any() and labels[1].all()


def test_a_right_mask_is_clicked_inside_and_an_empty_one_not_at_all():
    truth = torch.zeros(2, 4, 4).bool()
    truth[0, 1, 2] = True
    (rows, columns), labels = draw(truth, truth, number=5)
    assert rows[0].eq(1).all() and columns[0].eq(2).all()
    assert labels[0].eq(1).all() and labels[1].eq(-1).all()
