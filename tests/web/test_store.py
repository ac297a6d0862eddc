"""Sessions stay within a bound of memory."""

from dataclasses import replace

import numpy as np
import pytest

from mmdit.web.session import Session
from mmdit.web.store import SessionStore


def make_session(num_bytes):
    return Session('a', np.zeros((1, num_bytes // 3, 3), np.uint8))


def test_the_longest_unused_goes_first():
    store = SessionStore(max_bytes=300)
    one, two, three = (store.put(make_session(90)) for _ in range(3))
    store.get(one)
    four = store.put(make_session(90))
    assert len(store) == 3 and store.num_bytes <= 300
    for key in (one, three, four):
        assert store.get(key).num_bytes == 90
    with pytest.raises(ValueError, match='removed to free memory'):
        store.get(two)


def test_a_session_replaces_its_earlier_self():
    store = SessionStore(max_bytes=300)
    key = store.put(make_session(90))
    assert store.put(replace(make_session(30), name='b'), key) == key
    assert store.get(key).name == 'b' and store.num_bytes == 30


def test_what_never_fits_is_rejected_and_nothing_lost():
    store = SessionStore(max_bytes=300)
    key = store.put(make_session(90))
    with pytest.raises(ValueError, match='take fewer'):
        store.put(make_session(303))
    assert store.get(key).num_bytes == 90


def test_a_dropped_session_is_gone():
    store = SessionStore()
    store.drop(store.put(make_session(90)))
    store.drop(None)
    assert len(store) == 0
    with pytest.raises(ValueError, match='no image yet'):
        store.get(None)


def test_what_was_begun_an_hour_ago_goes(monkeypatch):
    store = SessionStore()
    now = [0.0]
    monkeypatch.setattr('mmdit.web.store.monotonic', lambda: now[0])
    old = store.put(make_session(90))
    now[0] = 3500
    new = store.put(make_session(90))
    store.put(make_session(30), old)
    now[0] = 3700
    store.put(make_session(90))
    with pytest.raises(ValueError, match='removed'):
        store.get(old)
    assert store.get(new).num_bytes == 90
