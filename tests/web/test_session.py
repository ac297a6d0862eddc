"""What a visitor asks, and how an answer is corrected."""

import numpy as np
import pytest
from PIL import Image

from mmdit.web.session import (
    MAX_EXPRESSIONS,
    add_point,
    ask,
    bytes_needed,
    clear_points,
    open_picture,
    predict,
    read_expressions,
    undo_point,
)


def test_expressions_are_lines_without_repetition():
    text = '  the  red star \n\nblue\nthe red star\n'
    assert read_expressions(text) == ['the red star', 'blue']


@pytest.mark.parametrize('text', [None, '', ' \n\t'])
def test_no_expression_is_explained(text):
    with pytest.raises(ValueError, match='There is no expression. Type'):
        read_expressions(text)


@pytest.mark.parametrize('text', [['a'], 7, {}])
def test_expressions_that_are_no_text_are_rejected(text):
    with pytest.raises(ValueError, match='no text'):
        read_expressions(text)


def test_too_many_expressions_are_refused():
    text = '\n'.join(str(i) for i in range(MAX_EXPRESSIONS + 1))
    with pytest.raises(ValueError, match='at most 10'):
        read_expressions(text)


def test_errors_call_a_file_as_its_owner_does(tmp_path):
    path = tmp_path / 'upload123'
    path.write_bytes(b'no picture')
    with pytest.raises(ValueError, match='^my.png is not an image'):
        open_picture(str(path), 'my.png')


def test_a_hundred_megapixels_are_refused_before_decoding(tmp_path):
    path = tmp_path / 'large.png'
    Image.new('1', (10_000, 10_000)).save(path)
    with pytest.raises(ValueError, match='10000 x 10000 pixels, 100 megapix'):
        open_picture(str(path), 'large.png')


def test_answers_equal_the_inferencers(session, model, picture):
    rows = predict(session, 0.4)
    expected = model(picture, ['the red circle', 'blue'], threshold=0.4)
    for row, want in zip(rows, expected['predictions'], strict=True):
        assert row['expression'] == want['expression']
        assert row['score'] == want['score'] and row['rle'] == want['rle']


def test_only_new_expressions_are_asked(session, model):
    more = ask(session, 'blue\nsmall square\nthe red circle', model)
    assert model.asked == [['small square']]
    assert [a.expression for a in more.answers] == [
        'blue',
        'small square',
        'the red circle',
    ]
    assert more.answers[0] is session.answers[1]
    fewer = ask(more, 'blue', model)
    assert len(fewer.answers) == 1 and len(model.asked) == 1


def test_a_threshold_asks_nothing(session, model):
    low, high = predict(session, 0.05)[0], predict(session, 0.9)[0]
    assert low['mask'].sum() > high['mask'].sum()
    assert model.asked == []


@pytest.mark.parametrize('threshold', [10**400, float('nan'), '0.5', None, 1])
def test_a_threshold_is_a_probability(session, threshold):
    with pytest.raises(ValueError, match='threshold must be a probability'):
        predict(session, threshold)


def test_a_point_changes_the_selected_answer_only(session, model):
    once = add_point(session, 'blue', (45, 12, 1), model)
    assert once.answers[0] is session.answers[0]
    before, after = session.answers[1], once.answers[1]
    assert after.points == ((45, 12, 1),) and len(after.trail) == 2
    assert not np.allclose(before.probabilities, after.probabilities)
    outside = add_point(session, 'blue', (45, 12, 0), model).answers[1]
    assert not np.allclose(outside.probabilities, after.probabilities)


def test_points_are_undone_one_by_one(session, model):
    steps = [session]
    for point in ((45, 12, 1), (5, 30, 0)):
        steps.append(add_point(steps[-1], 'blue', point, model))
    undone = steps[-1]
    for earlier in steps[1::-1]:
        undone = undo_point(undone, 'blue', model)
        got, want = undone.answers[1], earlier.answers[1]
        assert got.points == want.points and len(got.trail) == len(want.trail)
        np.testing.assert_allclose(
            got.probabilities, want.probabilities, atol=1e-5
        )
    with pytest.raises(ValueError, match='“blue” has no points'):
        undo_point(undone, 'blue', model)


def test_all_points_are_cleared_at_once(session, model):
    twice = session
    for _ in range(2):
        twice = add_point(twice, 'blue', (45, 12, 1), model)
    cleared = clear_points(twice, 'blue', model).answers[1]
    assert cleared.points == ()
    np.testing.assert_allclose(
        cleared.probabilities, session.answers[1].probabilities, atol=1e-5
    )
    assert clear_points(session, 'blue', model) is session


def test_a_point_needs_an_answer_and_a_place_within(session, model):
    with pytest.raises(ValueError, match='press Find'):
        add_point(session, None, (1, 1, 1), model)
    with pytest.raises(ValueError, match='60 pixels wide and 40 high'):
        add_point(session, 'blue', (61, 1, 1), model)


def test_memory_is_counted(session):
    assert session.num_bytes >= bytes_needed(session, 'red\nblue')
    assert bytes_needed(session, 'a\nb') == 40 * 60 * (3 + 2 * 4)
