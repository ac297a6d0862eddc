import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / 'docs'


@pytest.fixture(scope='module')
def rooms():
    path = DOCS / 'draw_rooms.py'
    spec = importlib.util.spec_from_file_location('draw_rooms', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rooms_import_those_below_them_only(rooms):
    places = {room: i for i, room in enumerate(rooms.ROOMS)}
    upwards = [
        where
        for (upper, lower), where in rooms.find_arrows().items()
        if places[upper] > places[lower]
    ]
    assert not upwards


def test_the_diagram_is_up_to_date(rooms):
    assert f'```mermaid\n{rooms.draw()}```' in rooms.PAGE.read_text()
