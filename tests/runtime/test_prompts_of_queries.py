import numpy as np
import pytest
from mmseg.structures import SegDataSample

from mmdit.apis.samples import add_prompts
from mmdit.runtime.prompts import Prompts, broadcast_prompts

COORDS, LABELS = [(3, 4), (10, 2)], [1, 0]
POINTS = dict(point_coords=COORDS, point_labels=LABELS)
BOX = (1, 2, 20, 12)
MASK = np.ones((1, 8, 8), np.float32)


def _points(coords, labels=(1,)):
    return dict(point_coords=coords, point_labels=labels)


def test_the_only_question_takes_prompts_as_they_are():
    (one,) = broadcast_prompts(1, COORDS, LABELS, BOX, MASK)
    assert one.point_coords.tolist() == [list(point) for point in COORDS]
    assert one.point_labels.tolist() == LABELS
    assert one.box.tolist() == list(BOX)
    assert np.array_equal(one.mask_input, MASK)
    (same,) = broadcast_prompts(1, [COORDS], [LABELS], [BOX], [MASK])
    assert np.array_equal(one.point_coords, same.point_coords)
    assert np.array_equal(one.box, same.box)


def test_several_questions_have_an_entry_each():
    first, second, third = broadcast_prompts(
        3,
        point_coords=[COORDS, None, COORDS[:1]],
        point_labels=[LABELS, None, LABELS[:1]],
        box=[None, None, BOX],
    )
    assert first.point_coords.shape == (2, 2) and first.box is None
    assert not second
    assert third.point_labels.shape == (1,) and third.box.shape == (4,)
    assert not any(broadcast_prompts(2))


@pytest.mark.parametrize(
    ('number', 'given', 'match'),
    [
        (2, POINTS, 'point_coords for 1 of 2 queries'),
        (2, dict(box=[BOX] * 3), 'box for 3 of 2'),
        (1, dict(mask_input=[MASK, MASK]), 'mask_input for 2 of 1'),
        (1, dict(point_coords=COORDS), 'has no point_labels'),
        (1, dict(point_labels=LABELS), 'has no point_coords'),
        (1, POINTS | dict(point_labels=[1]), r'\(1,\); expected \(2,\)'),
        (1, _points([(3, 4, 1)]), r'\(1, 3\); expected \(P, 2\): x and y'),
        (1, _points(np.zeros((0, 2))), r'\(0, 2\); expected'),
        (1, _points([(3, 4)], [2]), 'label 2; expected 1'),
        (1, _points([(3, float('nan'))]), 'not finite'),
        (1, _points([[('a', 'b')]], [[1]]), 'not an array of numbers'),
        (1, dict(box=(1, 2, 3)), 'left, top, right and bottom'),
        (1, dict(box=(9, 2, 3, 4)), 'in this order'),
        (1, dict(mask_input=np.zeros((3, 8, 8))), 'low_res_masks'),
        (1, _points([(10**400, 1)]), 'point_coords: .* is not an array'),
        (1, dict(box=(0, 0, 1, 10**400)), 'box for 4 of 1'),
        (1, dict(box=[(0, 0, 1, 10**400)]), 'a box: .* is not an array'),
        (1, dict(point_coords=7), 'point_coords: 7 is not an array'),
        (1, _points([['x' * 9999]]), '^.{1,300}$'),
    ],
)
def test_prompts_of_another_shape_are_rejected(number, given, match):
    with pytest.raises(ValueError, match=match):
        broadcast_prompts(number, **given)


@pytest.mark.parametrize(
    'prompts',
    [
        _points([(3, 4), (31, 4)], (1, 1)),
        _points([(-0.5, 4)]),
        dict(box=(1, 2, 20, 41)),
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
    prompts = make_sample(POINTS).prompts
    assert prompts.points.tolist() == [[6, 8], [20, 4], [0, 0]]
    assert prompts.labels.tolist() == [1, 0, -1]


def test_a_box_comes_after_the_points_and_needs_no_padding():
    prompts = make_sample(_points(COORDS[:1]) | dict(box=BOX)).prompts
    assert prompts.points.tolist() == [[6, 8], [2, 4], [40, 24]]
    assert prompts.labels.tolist() == [1, 2, 3]


def test_a_mask_alone_brings_no_points():
    sample = make_sample(dict(mask_input=MASK))
    assert 'prompts' not in sample
    assert sample.mask_input.data.shape == (1, 8, 8)
    assert not Prompts()
