"""Many visitors at once."""

import dataclasses
import time
from threading import Event

import numpy as np
import pytest
from web_visitor import Visitor

VISITORS = 12

pytestmark = pytest.mark.slow


def wait_until(is_true, seconds=60):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.01)


def test_queries_of_many_run_in_order(
    address, model, store, picture, monkeypatch
):
    visitors = [Visitor(address, timeout=120) for _ in range(VISITORS)]
    for visitor in visitors:
        visitor.open(picture)
    assert len(store) == VISITORS

    gate, forward = Event(), model.forward
    monkeypatch.setattr(
        model, 'forward', lambda *args: gate.wait() and forward(*args)
    )
    for i, visitor in enumerate(visitors):
        query = [None, f'thing {i}']
        assert visitor.join(visitor.find('submit'), query).is_success
        # The first runs, the others wait.
        wait_until(lambda: model.queries)
    assert model.queries == [['thing 0']]
    gate.set()
    for visitor in visitors:
        assert 'data' in visitor.result()
        visitor.close()
    assert model.queries == [[f'thing {i}'] for i in range(VISITORS)]
    assert len(store) == VISITORS
    sizes = {store.get(key).num_bytes for key in list(store._sessions)}
    assert len(sizes) == 1


def test_memory_stays_bounded(address, model, store, picture):
    visitor = Visitor(address)
    visitor.open(picture)
    visitor.query('red')
    once = store.num_bytes
    for i in range(5):
        visitor.query(f'thing {i}')
        assert store.num_bytes == once
    store.max_bytes = 3 * once
    for _ in range(5):
        visitor = Visitor(address)
        visitor.open(picture)
        assert store.num_bytes <= store.max_bytes


def test_visits_copy_no_session_of_others(address, store, session):
    class Uncopied(np.ndarray):
        copies = 0

        def __deepcopy__(self, memo):
            type(self).copies += 1
            return self

    pixels = session.pixels.view(Uncopied)
    store.put(dataclasses.replace(session, pixels=pixels))
    for _ in range(2):
        Visitor(address).close()
    assert Uncopied.copies == 0
