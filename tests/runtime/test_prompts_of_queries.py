import numpy as np
import pytest
from mmseg.structures import SegDataSample

from mmdit.apis.samples import add_prompts
from mmdit.runtime.prompts import Prompts, broadcast_prompts

POINTS = [(3, 4, 1), (10, 2, 0)]
BOX = (1, 2, 20, 12)
MASK = np.ones((1, 8, 8), np.float32)


def test_the_only_question_takes_prompts_as_they_are():
    (one,) = broadcast_prompts(1, POINTS, BOX, MASK)
    assert one.points.tolist() == [list(point) for point in POINTS]
    assert one.box.tolist() == list(BOX)
    assert np.array_equal(one.mask, MASK)
    (same,) = broadcast_prompts(1, [POINTS], [BOX], [MASK])
    assert np.array_equal(one.points, same.points)
    assert np.array_equal(one.box, same.box)


def test_several_questions_have_an_entry_each():
    first, second, third = broadcast_prompts(
        3, points=[POINTS, None, POINTS[:1]], boxes=[None, None, BOX]
    )
    assert first.points.shape == (2, 3) and first.box is None
    assert not second
    assert third.points.shape == (1, 3) and third.box.shape == (4,)
    assert not any(broadcast_prompts(2))


@pytest.mark.parametrize(
    ('number', 'given', 'match'),
    [
        (2, dict(points=POINTS), 'points for 1 of 2 queries'),
        (2, dict(boxes=[BOX] * 3), 'boxes for 3 of 2'),
        (1, dict(masks=[MASK, MASK]), 'masks for 2 of 1'),
        (1, dict(points=[(3, 4)]), r'expected \(P, 3\): x, y and label'),
        (1, dict(points=np.zeros((0, 3))), r'\(0, 3\); expected'),
        (1, dict(points=[(3, 4, 2)]), 'label 2; expected 1'),
        (1, dict(points=[(3, float('nan'), 1)]), 'not finite'),
        (1, dict(points=[[('a', 'b', 1)]]), 'not an array of numbers'),
        (1, dict(boxes=(1, 2, 3)), 'left, top, right and bottom'),
        (1, dict(boxes=(9, 2, 3, 4)), 'in this order'),
        (1, dict(masks=np.zeros((3, 8, 8))), 'low_res_masks'),
        (1, dict(points=[(10**400, 1, 1)]), 'points: .* is not an array'),
        (1, dict(boxes=(0, 0, 1, 10**400)), 'boxes for 4 of 1'),
        (1, dict(boxes=[(0, 0, 1, 10**400)]), 'a box: .* is not an array'),
        (1, dict(points=7), 'points: 7 is not an array'),
        (1, dict(points=[['x' * 9999]]), '^.{1,300}$'),
    ],
)
def test_prompts_of_another_shape_are_rejected(number, given, match):
    with pytest.raises(ValueError, match=match):
        broadcast_prompts(number, **given)


@pytest.mark.parametrize(
    'prompts',
    [
        dict(points=[(3, 4, 1), (31, 4, 1)]),
        dict(points=[(-0.5, 4, 0)]),
        dict(boxes=(1, 2, 20, 41)),
    ],
)
def test_what_lies_outside_the_image_is_rejected(prompts):
    (one,) = broadcast_prompts(1, **prompts)
    with pytest.raises(ValueError, match='outside image a.jpg, which is 30'):
        one.check_within((40, 30), 'a.jpg')


def make_sample(prompts):
    sample = SegDataSample(
        metainfo=dict(ori_shape=(40, 30), img_shape=(80, 60))
    )
    (one,) = broadcast_prompts(1, **prompts)
    add_prompts(sample, one)
    return sample


def test_points_follow_the_resized_image_and_end_with_padding():
    prompts = make_sample(dict(points=POINTS)).prompts
    assert prompts.points.tolist() == [[6, 8], [20, 4], [0, 0]]
    assert prompts.labels.tolist() == [1, 0, -1]


def test_a_box_comes_after_the_points_and_needs_no_padding():
    prompts = make_sample(dict(points=POINTS[:1], boxes=BOX)).prompts
    assert prompts.points.tolist() == [[6, 8], [2, 4], [40, 24]]
    assert prompts.labels.tolist() == [1, 2, 3]


def test_a_mask_alone_brings_no_points():
    sample = make_sample(dict(masks=MASK))
    assert 'prompts' not in sample
    assert sample.mask_input.data.shape == (1, 8, 8)
    assert not Prompts()
