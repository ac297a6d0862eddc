"""Files of predictions, and what a later call makes of them."""

import json
import os

import numpy as np
import pytest

from mmdit.apis import ResultWriter

SETTINGS = dict(model='abc', threshold=0.5)
OVERLAY = np.zeros((4, 4, 3), np.uint8)


def prediction(image, expression='red'):
    mask = np.eye(4, dtype=bool)
    return dict(image=image, expression=expression, mask=mask, score=0.5)


@pytest.fixture
def images(tmp_path):
    """Paths of three files."""
    paths = [tmp_path / f'{name}.png' for name in 'abc']
    for path in paths:
        path.write_bytes(b'content')
    return [str(path) for path in paths]


@pytest.fixture
def out(images, tmp_path):
    """A folder with predictions of the first two, of a call that died."""
    writer = ResultWriter(tmp_path / 'out', SETTINGS)
    for image in images[:2]:
        writer.write(prediction(image), OVERLAY)
    return tmp_path / 'out'


def listed(out):
    return [
        json.loads(line)
        for line in (out / 'predictions.jsonl').read_text().splitlines()
    ]


def test_every_prediction_is_on_disk_at_once(out, images):
    assert [row['image'] for row in listed(out)] == images[:2]
    assert not (out / 'predictions.json').exists()


def test_equal_settings_find_them_again(out, images):
    with ResultWriter(out, SETTINGS) as writer:
        assert writer.kept == {(image, 'red') for image in images[:2]}
        assert writer.replaced is None
        writer.write(prediction(images[0], 'blue'), OVERLAY)
        writer.write(prediction(images[2]), OVERLAY)
        assert [row['image'] for row in writer.rows()] == [
            *images[:2],
            images[0],
            images[2],
        ]
    rows = json.loads((out / 'predictions.json').read_text())
    assert rows == listed(out)
    assert len({row['mask'] for row in rows}) == 4


@pytest.mark.parametrize('settings', [None, SETTINGS | dict(threshold=0.4)])
def test_other_settings_begin_again(out, settings):
    with ResultWriter(out, settings) as writer:
        assert not writer.kept and writer.replaced == SETTINGS
    assert json.loads((out / 'predictions.json').read_text()) == []
    # Nor are they found by a later call with the settings of the first.
    assert not ResultWriter(out, SETTINGS).kept


@pytest.mark.parametrize('content', ['', '[1]', '{"model": "abc"', 'null'])
def test_settings_that_are_damaged_are_others(out, content):
    (out / 'made_by.json').write_text(content)
    with ResultWriter(out, SETTINGS) as writer:
        assert not writer.kept and writer.replaced is None


def change_image(out, images):
    with open(images[0], 'ab') as file:
        file.write(b'more')


def touch_image(out, images):
    os.utime(images[0], (1, 1))


def remove_image(out, images):
    os.unlink(images[0])


def remove_mask(out, images):
    (out / listed(out)[0]['mask']).unlink()


def remove_overlay(out, images):
    (out / listed(out)[0]['overlay']).unlink()


@pytest.mark.parametrize(
    'change',
    [change_image, touch_image, remove_image, remove_mask, remove_overlay],
)
def test_what_has_changed_is_predicted_again(out, images, change):
    change(out, images)
    with ResultWriter(out, SETTINGS) as writer:
        assert writer.kept == {(images[1], 'red')}


@pytest.mark.parametrize('cut', [1, 20, 100])
def test_half_a_line_is_no_prediction(out, images, cut):
    path = out / 'predictions.jsonl'
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    with ResultWriter(out, SETTINGS) as writer:
        # Without the end of its line alone, a prediction is complete.
        assert len(writer.kept) == (2 if cut == 1 else 1)
        writer.write(prediction(images[2]), OVERLAY)
    rows = json.loads((out / 'predictions.json').read_text())
    assert rows[-1]['image'] == images[2]
    assert len(rows) == len(writer.kept) + 1


@pytest.mark.parametrize(
    'line', [b'7', b'{}', b'[]', b'\xff\xfe', b'{"image": {}, "stamp": 1}']
)
def test_what_others_have_written_is_no_prediction(out, line):
    with (out / 'predictions.jsonl').open('ab') as file:
        file.write(line + b'\n')
    assert len(ResultWriter(out, SETTINGS).kept) == 2


def test_images_without_a_file_are_not_found_again(tmp_path):
    with ResultWriter(tmp_path, SETTINGS) as writer:
        writer.write(prediction(0), OVERLAY)
        writer.write(prediction('http://127.0.0.1/x.png'), OVERLAY)
    assert not ResultWriter(tmp_path, SETTINGS).kept


@pytest.mark.parametrize('text', ['狗' * 60, 'é' * 300, '𝒳' * 90, 'x' * 999])
def test_names_fit_into_255_bytes(tmp_path, text):
    with ResultWriter(tmp_path) as writer:
        for _ in range(3):
            writer.write(prediction(f'{text[:60]}.png', text), OVERLAY)
    names = [path.name for path in (tmp_path / 'masks').iterdir()]
    assert len(names) == 3 and max(len(n.encode()) for n in names) < 240


def test_names_that_a_file_system_takes_for_one_are_told_apart(tmp_path):
    with ResultWriter(tmp_path) as writer:
        for text in ('É', 'é', 'e\u0301', 'straße', 'STRASSE'):
            writer.write(prediction('x.png', text), OVERLAY)
    rows = json.loads((tmp_path / 'predictions.json').read_text())
    names = [row['mask'].casefold() for row in rows]
    assert len(set(names)) == 5


def test_a_file_name_that_is_no_utf8_survives(tmp_path):
    image = os.fsdecode(bytes(tmp_path) + b'/caf\xe9.png')
    try:
        open(image, 'wb').close()
    except OSError:
        pytest.skip('this file system takes UTF-8 only')
    with ResultWriter(tmp_path / 'out', SETTINGS) as writer:
        writer.write(prediction(image), OVERLAY)
    (row,) = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert row['image'] == image
    assert ResultWriter(tmp_path / 'out', SETTINGS).kept == {(image, 'red')}
