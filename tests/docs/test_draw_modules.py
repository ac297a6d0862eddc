import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / 'docs'


@pytest.fixture(scope='module')
def modules():
    path = DOCS / 'draw_modules.py'
    spec = importlib.util.spec_from_file_location('draw_modules', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_packages_import_those_below_them_only(modules):
    places = {package: i for i, package in enumerate(modules.PACKAGES)}
    upwards = [
        where
        for (upper, lower), where in modules.find_arrows().items()
        if places[upper] > places[lower]
    ]
    assert not upwards


def test_the_diagram_is_up_to_date(modules):
    assert f'```mermaid\n{modules.draw()}```' in modules.PAGE.read_text()
