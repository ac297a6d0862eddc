import numpy as np
import pytest

from mmdit.registry import TRANSFORMS


def sample(mask, img_shape=None, **kwargs):
    cfg = dict(type='mmdit.SamplePrompts', **kwargs)
    image = np.zeros((*(img_shape or mask.shape), 3), np.uint8)
    results = TRANSFORMS.build(cfg)(dict(img=image, gt_seg_map=mask))
    return results['prompt_points'], results['prompt_labels'].tolist()


@pytest.fixture
def mask():
    """A ring open at one side: its middle is outside."""
    mask = np.zeros((30, 40), np.uint8)
    mask[5:25, 10:30] = 1
    mask[10:20, 15:40] = 0
    return mask


def test_a_point_lies_inside_and_every_pixel_may_be_drawn(mask):
    np.random.seed(0)
    drawn = set()
    for _ in range(3000):
        points, labels = sample(mask, kinds=['point'])
        assert labels == [1, -1]
        drawn.add(tuple(points[0].astype(int)))
    assert all(mask[y, x] for x, y in drawn)
    assert len(drawn) > 0.9 * mask.sum()


def test_the_innermost_point_is_the_deepest():
    mask = np.zeros((20, 30), np.uint8)
    mask[2:9, 0:9] = 1
    mask[5, 9:30] = 1
    points, _ = sample(mask, kinds=['point'], random=False)
    assert points[0].tolist() in ([3, 5], [4, 5], [5, 5])


def test_the_border_of_the_picture_is_an_edge():
    points, _ = sample(
        np.ones((21, 31), np.uint8), kinds=['point'], random=False
    )
    assert points[0, 1] == 10


def test_a_box_moves_by_a_tenth_of_its_side_at_most_so_far(mask):
    exact, labels = sample(mask, kinds=['box'], random=False)
    assert labels == [2, 3]
    assert exact.tolist() == [[10, 5], [29, 24]]
    np.random.seed(0)
    boxes = np.stack([sample(mask, kinds=['box'])[0] for _ in range(2000)])
    spread = (boxes - exact).std(0) / 19
    np.testing.assert_allclose(spread, 0.1, atol=0.01)
    near = np.stack(
        [sample(mask, kinds=['box'], max_noise=1)[0] for _ in range(50)]
    )
    assert np.abs(near - exact).max() <= 1


def test_both_kinds_are_as_likely(mask):
    np.random.seed(0)
    labels = [sample(mask)[1] for _ in range(400)]
    assert 160 < labels.count([2, 3]) < 240


def test_the_point_follows_an_image_that_was_resized(mask):
    same, _ = sample(mask, kinds=['box'], random=False)
    twice, _ = sample(mask, (60, 80), kinds=['box'], random=False)
    # A pixel's center is half a pixel after its index, at any size.
    np.testing.assert_allclose((twice + 0.5) / 2, same + 0.5)


def test_an_empty_mask_gets_padding_only():
    _, labels = sample(np.zeros((4, 4), np.uint8))
    assert labels == [-1, -1]


@pytest.mark.parametrize(
    ('kwargs', 'match'),
    [
        (dict(kinds=['scribble']), 'scribble'),
        (dict(kinds=[]), "'point' and 'box'"),
        (dict(random=False), 'single kind'),
        (dict(only_text=0.7, only_prompts=0.7), 'shares'),
        (dict(only_text=-0.1), 'shares'),
    ],
)
def test_bad_arguments_are_named(kwargs, match):
    with pytest.raises(ValueError, match=match):
        TRANSFORMS.build(dict(type='mmdit.SamplePrompts', **kwargs))


def test_items_come_with_text_or_prompt_or_both(mask):
    np.random.seed(0)
    cfg = dict(type='mmdit.SamplePrompts', only_text=0.2, only_prompts=0.5)
    transform = TRANSFORMS.build(cfg)
    image, kinds = np.zeros((*mask.shape, 3), np.uint8), []
    for _ in range(1000):
        item = dict(img=image, gt_seg_map=mask, expression='ring')
        item = transform(item)
        has_prompt = item['prompt_labels'].tolist() != [-1, -1]
        kinds.append((item['expression'] is not None, has_prompt))
    assert kinds.count((True, False)) == pytest.approx(200, abs=40)
    assert kinds.count((False, True)) == pytest.approx(500, abs=50)
    assert (False, False) not in kinds


def test_what_has_no_pixels_keeps_its_expression():
    cfg = dict(type='mmdit.SamplePrompts', only_prompts=1.0)
    empty = np.zeros((4, 4), np.uint8)
    item = dict(img=np.zeros((4, 4, 3), np.uint8), gt_seg_map=empty)
    item = TRANSFORMS.build(cfg)(dict(item, expression='a ghost'))
    assert item['expression'] == 'a ghost'
