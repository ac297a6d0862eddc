"""Many visitors at once."""

import time
from threading import Event

import pytest

VISITORS = 50

pytestmark = pytest.mark.slow


def connect(address):
    client = pytest.importorskip('gradio_client')
    return client.Client(address, verbose=False)


def open_picture(visitor, picture):
    from gradio_client import handle_file

    visitor.predict(handle_file(picture), api_name='/open')


def wait_until(is_true, seconds=60):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.01)


def test_fifty_questions_are_answered_in_order(
    address, model, store, picture, monkeypatch
):
    visitors = [connect(address) for _ in range(VISITORS)]
    for visitor in visitors:
        open_picture(visitor, picture)
    assert len(store) == VISITORS

    gate, forward = Event(), model.forward
    monkeypatch.setattr(
        model, 'forward', lambda *args: gate.wait() and forward(*args)
    )
    jobs = []
    for i, visitor in enumerate(visitors):
        jobs.append(visitor.submit(f'thing {i}', api_name='/ask'))
        # The first is being answered, the others wait.
        wait_until(
            lambda: jobs[-1].status().code.name in ('IN_QUEUE', 'PROCESSING')
        )
    assert model.asked == [['thing 0']]
    gate.set()
    for job in jobs:
        job.result(timeout=120)
    assert model.asked == [[f'thing {i}'] for i in range(VISITORS)]
    assert len(store) == VISITORS
    sizes = {store.get(key).num_bytes for key in list(store._sessions)}
    assert len(sizes) == 1


def test_memory_stays_bounded(address, model, store, picture):
    visitor = connect(address)
    open_picture(visitor, picture)
    visitor.predict('red', api_name='/ask')
    once = store.num_bytes
    for i in range(5):
        visitor.predict(f'thing {i}', api_name='/ask')
        assert store.num_bytes == once
    store.max_bytes = 3 * once
    for _ in range(5):
        open_picture(connect(address), picture)
        assert store.num_bytes <= store.max_bytes
