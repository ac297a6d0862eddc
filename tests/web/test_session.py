"""Queries of a visitor, and how predictions are refined."""

import numpy as np
import pytest
from PIL import Image
from small_models import make_config, save_weights

from mmdit.apis import ReferringSegInferencer
from mmdit.web.session import (
    MAX_EXPRESSIONS,
    add_point,
    bytes_needed,
    choose,
    clear,
    open_image,
    predict,
    query,
    read_expressions,
    set_box,
    undo,
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
    with pytest.raises(ValueError, match='not text'):
        read_expressions(text)


def test_too_many_expressions_are_rejected():
    text = '\n'.join(str(i) for i in range(MAX_EXPRESSIONS + 1))
    with pytest.raises(ValueError, match='at most 10'):
        read_expressions(text)


def test_errors_call_a_file_as_its_owner_does(tmp_path):
    path = tmp_path / 'upload123'
    path.write_bytes(b'no image')
    with pytest.raises(ValueError, match='^my.png is not an image'):
        open_image(str(path), 'my.png')


def test_a_hundred_megapixels_are_rejected_before_decoding(tmp_path):
    path = tmp_path / 'large.png'
    Image.new('1', (10_000, 10_000)).save(path)
    with pytest.raises(ValueError, match='10000 x 10000 pixels, 100 megapix'):
        open_image(str(path), 'large.png')


def test_predictions_equal_the_inferencers(session, model, picture):
    rows = predict(session, 0.4)
    expected = model(picture, ['the red circle', 'blue'], threshold=0.4)
    for row, want in zip(rows, expected['predictions'], strict=True):
        assert row['expression'] == want['expression']
        assert row['score'] == want['score'] and row['rle'] == want['rle']


def test_only_new_expressions_are_run(session, model):
    more = query(session, 'blue\nsmall square\nthe red circle', model)
    assert model.queries == [['small square']]
    assert [a.expression for a in more.predictions] == [
        'blue',
        'small square',
        'the red circle',
    ]
    assert more.predictions[0] is session.predictions[1]
    fewer = query(more, 'blue', model)
    assert len(fewer.predictions) == 1 and len(model.queries) == 1


def test_a_threshold_asks_nothing(session, model):
    low, high = predict(session, 0.05)[0], predict(session, 0.9)[0]
    assert low['mask'].sum() > high['mask'].sum()
    assert model.queries == []


@pytest.mark.parametrize('threshold', [10**400, float('nan'), '0.5', None, 1])
def test_a_threshold_is_a_probability(session, threshold):
    with pytest.raises(ValueError, match='threshold must be a probability'):
        predict(session, threshold)


def test_a_point_changes_the_selected_prediction_only(session, model):
    once = add_point(session, 'blue', (45, 12, 1), model)
    assert once.predictions[0] is session.predictions[0]
    before, after = session.predictions[1], once.predictions[1]
    assert after.points == ((45, 12, 1),)
    assert after.before.sample is before.sample
    assert not np.allclose(before.probabilities, after.probabilities)
    outside = add_point(session, 'blue', (45, 12, 0), model).predictions[1]
    assert not np.allclose(outside.probabilities, after.probabilities)


def show_all(session, model):
    """Return the sessions after a point, a box and another point."""
    once = add_point(session, 'blue', (45, 12, 1), model)
    boxed = set_box(once, 'blue', (10, 5, 50, 35), model)
    return [session, once, boxed, add_point(boxed, 'blue', (5, 30, 0), model)]


def test_points_and_boxes_are_undone_one_by_one(session, model):
    steps = show_all(session, model)
    last = steps[-1].predictions[1]
    assert last.box == (10, 5, 50, 35) and len(last.points) == 2
    queries = len(model.queries)
    undone = steps[-1]
    for earlier in steps[-2::-1]:
        undone = undo(undone, 'blue', model)
        got, want = undone.predictions[1], earlier.predictions[1]
        assert (got.points, got.box) == (want.points, want.box)
        np.testing.assert_allclose(
            got.probabilities, want.probabilities, rtol=0, atol=1e-6
        )
    assert len(model.queries) == queries
    with pytest.raises(ValueError, match='“blue” has no points'):
        undo(undone, 'blue', model)


def test_all_that_was_shown_is_cleared_at_once(session, model):
    cleared = clear(show_all(session, model)[-1], 'blue', model).predictions[1]
    assert cleared.points == () and cleared.box is None
    np.testing.assert_allclose(
        cleared.probabilities, session.predictions[1].probabilities, atol=1e-6
    )
    assert clear(session, 'blue', model).predictions == session.predictions


def test_a_point_needs_a_prediction_and_a_place_within(session, model):
    with pytest.raises(ValueError, match='press Find'):
        add_point(session, None, (1, 1, 1), model)
    with pytest.raises(ValueError, match='60 pixels wide and 40 high'):
        add_point(session, 'blue', (61, 1, 1), model)
    with pytest.raises(ValueError, match='in this order'):
        set_box(session, 'blue', (20, 5, 10, 30), model)


def test_memory_is_counted(session, model):
    assert session.num_bytes >= bytes_needed(session, 2)
    assert bytes_needed(session, 2) == 40 * 60 * (3 + 2 * 4)
    logits = session.predictions[1].sample.pred_masks.low_res_masks
    once = add_point(session, 'blue', (45, 12, 1), model)
    assert once.num_bytes == session.num_bytes + logits.nbytes


def test_without_words_a_click_begins_an_object(opened, textless_model):
    model = textless_model
    one = add_point(opened, None, (45, 12, 1), model)
    two = set_box(one, None, (5, 5, 30, 30), model)
    assert [p.name for p in two.predictions] == [
        'Object 1',
        'Object 2',
    ]
    assert two.predictions[0] is one.predictions[0]
    more = add_point(two, 'Object 2', (10, 10, 1), model)
    assert more.predictions[1].box == (5, 5, 30, 30)
    assert undo(one, 'Object 1', model).predictions == ()
    assert clear(more, 'Object 2', model).predictions == one.predictions
    rows = predict(more, 0.5)
    assert [row['expression'] for row in rows] == [None, None]
    assert rows[1]['prompt_box'] == [5, 5, 30, 30]
    assert rows[1]['point_coords'] == [(10, 10)]
    assert rows[1]['point_labels'] == [1]
    full = opened
    for _ in range(MAX_EXPRESSIONS):
        full = add_point(full, None, (45, 12, 1), model)
    with pytest.raises(ValueError, match='There are 10 masks'):
        add_point(full, None, (45, 12, 1), model)


def test_one_of_three_masks_is_chosen(opened, textless_model):
    one = add_point(opened, None, (45, 12, 1), textless_model)
    (first,) = one.predictions
    assert len(first.scores) == 3
    assert first.chosen == int(np.argmax(first.scores))
    again = choose(one, 'Object 1', first.chosen, textless_model).predictions[
        0
    ]
    np.testing.assert_allclose(
        again.probabilities, first.probabilities, rtol=0, atol=1e-6
    )
    other = (first.chosen + 1) % 3
    found = choose(one, 'Object 1', other, textless_model).predictions[0]
    assert not np.allclose(found.probabilities, first.probabilities)
    assert found.logits.shape == first.logits.shape
    with pytest.raises(ValueError, match='no mask of this number'):
        choose(one, 'Object 1', 3, textless_model)


def test_with_late_text_neither_words_nor_clicks_run_the_trunk_again(
    opened, tiny_segmentor, tiny_refer, tmp_path
):
    tiny_segmentor['backbone']['text_injector']['first_block'] = 2
    config = make_config(tiny_segmentor, tiny_refer)
    weights = save_weights(config, tmp_path / 'late.pth')
    model = ReferringSegInferencer(config, weights, 'cpu')
    images = []
    model.model.backbone.blocks[0].register_forward_pre_hook(
        lambda _, given: images.append(len(given[0]))
    )
    session = query(opened, 'the red circle\nblue', model)
    session = query(session, 'the red circle\nblue\nbig', model)
    session = add_point(session, 'blue', (45, 12, 1), model)
    assert images == [1] and len(session.predictions) == 3
