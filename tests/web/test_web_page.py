"""The page in a browser, as a visitor uses it."""

import json
from base64 import b64decode
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

CHROMIUM = Path('/usr/bin/chromium')
ARGS = ['--headless', '--no-sandbox', '--disable-gpu']

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not CHROMIUM.is_file(), reason=f'{CHROMIUM} is not installed'
    ),
]


@pytest.fixture(scope='module')
def browser():
    """A browser of several visitors; a page of it is a visitor of its own."""
    api = pytest.importorskip('playwright.sync_api')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=ARGS
        )
        yield browser
        browser.close()


@pytest.fixture
def open_tab(browser):
    """Open a page in a tab that knows the hosts that it contacts."""
    tab = browser.new_page(viewport=dict(width=1280, height=900))
    tab.hosts = set()
    tab.on('request', lambda request: tab.hosts.add(host(request.url)))

    def open_tab(address):
        tab.goto(address)
        tab.wait_for_selector('#undo, #find')
        return tab

    yield open_tab
    tab.close()


@pytest.fixture
def tab(open_tab, address):
    """A tab with the page."""
    return open_tab(address)


def host(url):
    return '' if url.startswith(('data:', 'blob:')) else url.split('/')[2]


def canvas(tab):
    """Return the pixels of the image on the page."""
    kind, content = tab.get_attribute('#canvas img', 'src').split(',')
    assert kind == 'data:image/jpeg;base64'
    content = b64decode(content)
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def changed_canvas(tab, action):
    """Return the pixels once an action has changed them."""
    source = tab.get_attribute('#canvas img', 'src')
    action()
    tab.wait_for_function(
        'old => { const image = document.querySelector("#canvas img");'
        ' return image && image.getAttribute("src") !== old; }',
        arg=source,
    )
    return canvas(tab)


def upload(tab, path):
    tab.set_input_files('#canvas input[type=file]', path)


def open_image(tab, path):
    upload(tab, path)
    # Drawn by the server: its longer side has 720 pixels.
    tab.wait_for_function(
        'document.querySelector("#canvas img")?.naturalWidth === 720'
    )


def open_and_query(tab, picture, text):
    open_image(tab, picture)
    plain = canvas(tab)
    tab.fill('#expressions textarea', text)
    masked = changed_canvas(tab, lambda: tab.click('#find'))
    tab.wait_for_selector('#legend label')
    return plain, masked


def legend(tab):
    return tab.locator('#legend label').all_inner_texts()


def test_from_an_image_to_files(tab, picture, model, address, tmp_path):
    plain, masked = open_and_query(tab, picture, 'the red circle\nblue')
    assert plain.shape == masked.shape == (480, 720, 3)
    assert abs(plain.astype(int) - masked).mean() > 1
    assert model.queries == [['the red circle', 'blue']]
    first, second = legend(tab)
    assert first.startswith('the red circle · ')
    assert second.startswith('blue · ')

    spot = dict(x=200, y=100)
    clicked = changed_canvas(
        tab, lambda: tab.click('#canvas img', position=spot)
    )
    assert abs(clicked.astype(int) - masked).max() > 100
    assert legend(tab)[0].endswith(' · 1+') and legend(tab)[1] == second
    assert model.queries[1:] == [['the red circle']]

    slider = tab.locator('#threshold input[type=range]')
    slider.focus()
    moved = changed_canvas(tab, lambda: slider.press('PageUp'))
    assert abs(moved.astype(int) - clicked).max() > 50
    assert len(model.queries) == 2

    with tab.expect_download() as download:
        tab.click('#save-coco')
    assert download.value.suggested_filename == 'masks_coco.json'
    coco = COCO(str(download.value.path()))
    assert [cat['name'] for cat in coco.loadCats(coco.getCatIds())] == [
        'the red circle',
        'blue',
    ]
    assert coco.loadImgs([1])[0]['file_name'] == 'picture.png'
    for annotation in coco.anns.values():
        assert coco.annToMask(annotation).shape == (40, 60)
    with tab.expect_download() as download:
        tab.click('#save-masks')
    with ZipFile(download.value.path()) as archive:
        rows = json.loads(archive.read('predictions.json'))
        assert [row['expression'] for row in rows] == [
            'the red circle',
            'blue',
        ]
        archive.extract(rows[0]['mask'], tmp_path)
    mask = cv2.imread(str(tmp_path / rows[0]['mask']), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (40, 60)
    assert tab.hosts == {'', host(address)} or tab.hosts == {host(address)}


def test_the_keyboard_suffices(tab, picture, model):
    open_image(tab, picture)
    tab.focus('#expressions textarea')
    tab.keyboard.type('red')
    tab.keyboard.press('Enter')
    tab.keyboard.type('blue')
    changed_canvas(tab, lambda: tab.keyboard.press('Shift+Enter'))
    tab.wait_for_selector('#legend label')
    tab.keyboard.press('Tab')
    assert tab.evaluate('document.activeElement.id') == 'find'
    tab.keyboard.press('Tab')
    tab.keyboard.press('Tab')
    changed_canvas(tab, lambda: tab.keyboard.press('Space'))
    assert tab.locator('#legend input').nth(1).is_checked()
    tab.get_by_role('button', name='A point or box by numbers').press('Enter')
    tab.get_by_label('x, from the left').fill('45')
    tab.get_by_label('y, from the top').fill('12')
    add = tab.get_by_role('button', name='Add point')
    changed_canvas(tab, lambda: add.press('Enter'))
    assert model.queries[-1] == ['blue']
    assert legend(tab)[1].endswith(' · 1+')


def test_a_drawn_scene_runs_at_once(tab, model):
    tab.locator('#examples button').first.click()
    tab.wait_for_selector('#legend label')
    (expressions,) = model.queries
    written = tab.input_value('#expressions textarea').splitlines()
    assert written == expressions and len(legend(tab)) == len(written)


def drag(tab, *places):
    """Move the mouse, its button down, from place to place."""
    corner = tab.locator('#canvas img').bounding_box()
    for i, (x, y) in enumerate(places):
        tab.mouse.move(corner['x'] + x, corner['y'] + y)
        if i == 0:
            tab.mouse.down()
    tab.mouse.up()


def test_without_text_one_clicks_and_drags(
    open_tab, serve_page, textless_model, picture, store
):
    tab = open_tab(serve_page(textless_model))
    assert tab.locator('#expressions, #find').count() == 0
    open_image(tab, picture)
    image = tab.locator('#canvas img').bounding_box()
    # The canvas of 720 x 480 lies in the middle.
    margin = [(image['width'] - 720) / 2, (image['height'] - 480) / 2]

    boxed = changed_canvas(
        tab, lambda: drag(tab, (300, 200), (100, 90), (90, 60))
    )
    tab.wait_for_selector('#legend label')
    (line,) = legend(tab)
    assert line.startswith('Object 1 · ') and line.endswith(' · box')
    (session,) = store._sessions.values()
    box = np.array(session.predictions[0].box)
    expected = (np.array([90, 60, 300, 200]) - margin * 2) / 12
    np.testing.assert_allclose(box, expected, rtol=0, atol=0.1)
    # A drag is no click, and a click after it is none.
    spot = dict(x=200, y=100)
    clicked = changed_canvas(
        tab, lambda: tab.click('#canvas img', position=spot)
    )
    (line,) = legend(tab)
    assert line.endswith(' · 1+ · box')
    masks = tab.locator('#candidates input')
    assert masks.count() == 3
    changed_canvas(
        tab, tab.locator('#candidates input:not(:checked)').first.click
    )
    undone = changed_canvas(tab, lambda: tab.click('#undo'))
    assert abs(undone.astype(int) - boxed).max() < 9
    assert abs(undone.astype(int) - clicked).max() > 50
    tab.click('#new')
    tab.wait_for_function('!document.querySelector("#legend input:checked")')
    changed_canvas(tab, lambda: tab.click('#canvas img', position=spot))
    tab.wait_for_selector('#legend label:nth-child(2)')
    assert legend(tab)[1].startswith('Object 2 · ')
    with tab.expect_download() as download:
        tab.click('#save-coco')
    coco = json.loads(Path(download.value.path()).read_text())
    assert [c['name'] for c in coco['categories']] == ['Object 1', 'Object 2']
    tab.get_by_role('button', name='A point or box by numbers').press('Enter')
    for name, value in zip(
        ('left', 'top', 'right', 'bottom'), ('5', '5', '40', '30'), strict=True
    ):
        tab.get_by_label(name, exact=True).fill(value)
    changed_canvas(tab, tab.get_by_role('button', name='Set box').click)
    assert legend(tab)[1].endswith(' · 1+ · box')


def test_mistakes_are_sentences(tab, picture, tmp_path):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(b'no image at all')
    large = tmp_path / 'large.png'
    Image.new('1', (10_000, 10_000)).save(large)

    def wait_for(words):
        tab.wait_for_selector(f'.toast-body:has-text("{words}")')
        tab.locator('.toast-body button').first.click()
        tab.wait_for_selector('.toast-body', state='detached')

    tab.click('#find')
    wait_for('There is no image yet: drop one first.')
    upload(tab, broken)
    wait_for('Broken.png is not an image that can be read')
    # The place is free for another one.
    upload(tab, large)
    wait_for('10000 x 10000 pixels, 100 megapixels; at most 64 are read')
    open_image(tab, picture)
    tab.click('#find')
    wait_for('There is no expression.')
