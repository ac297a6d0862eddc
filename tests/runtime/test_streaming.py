"""Items, batches and failures, in order."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdit.runtime import streaming
from mmdit.runtime.streaming import (
    Failure,
    load_items,
    make_batches,
    predict_rows,
    raising,
)


def make_item(name, expression='red', pixels=1):
    image = SimpleNamespace(name=name, pixels=np.zeros((1, pixels, 3)))
    return SimpleNamespace(image=image, expression=expression)


def load(source, name, queries):
    if source == 'bad':
        raise OSError('bad file')
    return [make_item(name, query) for query in queries]


def predict(items):
    if any(item.expression == 'fails' for item in items):
        raise RuntimeError('no')
    return [dict(image=i.image.name, expression=i.expression) for i in items]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(['good', 'bad']),
            st.lists(st.sampled_from(['red', 'fails']), max_size=3),
        ),
        max_size=8,
    ),
    st.integers(1, 4),
)
def test_all_but_what_fails_comes_in_order(inputs, size):
    sources = [(source, queries) for source, queries in inputs]
    items = load_items(sources, load)
    rows = list(predict_rows(make_batches(items, size), predict))
    expected = []
    for source, queries in inputs:
        outcomes = ['bad file' if source == 'bad' else None]
        if source == 'good':
            outcomes = ['no' if q == 'fails' else q for q in queries]
        expected += outcomes
    got = [str(row.get('error', row.get('expression'))) for row in rows]
    assert got == expected


@given(st.lists(st.integers(1, 12), max_size=20), st.integers(1, 5))
def test_a_batch_is_limited_by_pixels(sizes, size):
    items = [make_item(i, pixels=n) for i, n in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, 'BATCH_PIXELS', 10)
        batches = list(make_batches(items, size))
    assert [item for batch in batches for item in batch] == items
    for batch in batches:
        pixels = sum(i.image.pixels.shape[1] for i in batch)
        assert len(batch) == 1 or pixels <= 10 and len(batch) <= size


def test_images_are_loaded_when_their_turn_comes():
    seen = []

    def watched(source, name, queries):
        seen.append(source)
        return load(source, name, queries)

    inputs = [(n, ['red']) for n in 'abcdef']
    rows = predict_rows(make_batches(load_items(inputs, watched), 2), predict)
    next(rows)
    # One more says that the batch is full.
    assert seen == ['a', 'b', 'c']


def test_an_interruption_is_no_failure():
    def stopped(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(load_items([('a', ['red'])], stopped))


def test_who_wants_all_or_nothing_gets_the_error():
    error = OSError('bad file')
    batches = raising([[1], Failure('a', error)])
    assert next(batches) == [1]
    with pytest.raises(OSError, match='bad file'):
        next(batches)
