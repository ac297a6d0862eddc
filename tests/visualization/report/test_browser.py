"""The page in a browser: Chromium, by Playwright, where they are installed."""

import shutil

import pytest
from report_rows import make_rows, write_json

from mmdit.visualization.report import make_page, read_results

PIXEL = (
    'data:image/gif;base64,R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs='
)


@pytest.fixture(scope='module')
def browser():
    sync_api = pytest.importorskip('playwright.sync_api')
    path = shutil.which('chromium') or shutil.which('google-chrome')
    if path is None:
        pytest.skip('there is no chromium on this machine')
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=['--no-sandbox']
        )
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pages')
    rows = make_rows(400)
    for row in rows[:7]:
        row.update(
            intersection=0, union=row['ground_truth'] + row['predicted']
        )
    rows[3]['expression'] = 'zebra <b>'
    one = read_results(write_json(folder / 'one.json', rows), 'one')
    others = make_rows(400)
    others[3]['expression'] = 'zebra <b>'
    others[11].update(intersection=0)
    other = read_results(write_json(folder / 'other.json', others), 'other')
    thumbnails = {5: PIXEL, 390: PIXEL}
    page = make_page(
        one, thumbnails=thumbnails, panels=['image', 'ground_truth', 'a']
    )
    (folder / 'one.html').write_text(page)
    (folder / 'two.html').write_text(make_page(other, one))
    return folder


@pytest.fixture
def open_page(browser, folder):
    """Open a page; nothing may go wrong in it and nothing be fetched."""
    pages, problems = [], []

    def open_page(name, **kwargs):
        page = browser.new_page(**kwargs)
        pages.append(page)
        page.on('pageerror', lambda error: problems.append(str(error)))
        page.on('console', lambda message: problems.append(message.text))
        page.on(
            'request',
            lambda request: (
                request.url.startswith(('file:', 'data:'))
                or problems.append(request.url)
            ),
        )
        page.goto((folder / name).as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert problems == []


def found(page):
    return int(page.inner_text('#found').split()[0])


def titles(page):
    return page.locator('.case h3').all_inner_texts()


def test_the_worst_cases_come_first_and_images_before_others(open_page):
    page = open_page('one.html')
    assert found(page) == 400 and len(titles(page)) == 24
    scores = page.locator('.case .score b').all_inner_texts()
    assert scores[:7] == ['IoU 0.00'] * 7 and scores == sorted(scores)
    first = page.locator('.case').first
    image = first.locator('img')
    assert image.get_attribute('alt').startswith(
        'image, ground_truth, a for “'
    )
    assert image.get_attribute('loading') is None


def test_a_print_has_the_images(open_page):
    page = open_page('one.html')
    page.get_by_label('with image only').check()
    assert b'/Subtype /Image' in page.pdf()


def test_words_are_searched(open_page):
    page = open_page('one.html')
    page.get_by_role('searchbox', name='Words').fill('ZEBRA')
    assert titles(page) == ['zebra <b>']
    page.get_by_role('searchbox', name='Words').fill('left red')
    assert found(page) == 133
    page.get_by_role('searchbox', name='Words').fill('no such thing')
    assert 'No case fits' in page.inner_text('#found')
    page.get_by_role('button', name='Reset').click()
    page.locator('.case').nth(23).wait_for()


def test_group_range_images_and_order(open_page):
    page = open_page('one.html')
    page.get_by_label('Group').select_option('relation')
    assert found(page) == 133
    page.get_by_label('Group').select_option('all')
    page.get_by_label('highest IoU').fill('0.0001')
    ious = page.evaluate(
        'JSON.parse(document.getElementById("data").textContent).ious[0]'
    )
    assert found(page) == ious.count(0) >= 7
    page.get_by_label('with image only').check()
    assert found(page) == 1
    page.get_by_label('highest IoU').fill('1')
    assert found(page) == 2
    page.get_by_label('with image only').uncheck()
    page.get_by_label('Order').select_option('best')
    scores = page.locator('.case .score b').all_inner_texts()
    assert scores == sorted(scores, reverse=True)


def test_bars_and_groups_lead_to_their_cases(open_page):
    page = open_page('one.html')
    bar = page.locator('.histogram button').first
    bar.focus()
    page.keyboard.press('Enter')
    expected = int(bar.get_attribute('title').split(': ')[1].split()[0])
    assert found(page) == expected >= 7
    page.get_by_role('button', name='color').click()
    assert found(page) == 133
    assert page.evaluate('document.activeElement.id') == 'cases'


def test_more_cases_on_demand(open_page):
    page = open_page('one.html')
    page.get_by_role('button', name='Show more').click()
    assert len(titles(page)) == 48
    page.get_by_role('searchbox', name='Words').fill('zebra')
    assert page.get_by_role('button', name='Show more').count() == 0


def test_a_comparison_shows_who_wins(open_page):
    page = open_page('two.html')
    card = page.locator('.case').first
    assert len(card.locator('.score').all()) == 2
    page.get_by_label('Order').select_option('one ahead')
    lines = page.locator('.case').first.locator('.score b')
    other, one = (float(t[4:]) for t in lines.all_inner_texts())
    assert other == 0 and one > 0


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1280, 390])
@pytest.mark.parametrize('name', ['one.html', 'two.html'])
def test_text_has_contrast_and_fits(open_page, name, width, scheme):
    page = open_page(
        name,
        viewport=dict(width=width, height=800),
        color_scheme=scheme,
    )
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    colors = page.evaluate(
        """() => [...document.querySelectorAll(
            'h1 span, p, li, th, td, label, small, button, .interval')]
            .filter(e => e.innerText)
            .map(e => {
                let ground = e;
                const clear = 'rgba(0, 0, 0, 0)';
                const of = (node) => getComputedStyle(node).backgroundColor;
                while (of(ground) === clear) ground = ground.parentElement;
                return [getComputedStyle(e).color, of(ground)];
            })"""
    )
    assert len(colors) > 100
    for ink, paper in set(map(tuple, colors)):
        assert contrast(ink, paper) >= 4.5, (ink, paper)


def contrast(one, other):
    """Return WCAG's contrast ratio of two CSS colors."""

    def luminance(color):
        channels = [
            int(c) / 255 for c in color[color.index('(') + 1 : -1].split(',')
        ]
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in channels
        ]
        return sum(
            w * c
            for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
        )

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_field_has_a_name(open_page):
    page = open_page('one.html')
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('input, select, button')]
            .filter(e => !(e.labels && e.labels.length) &&
                !e.getAttribute('aria-label') && !e.innerText).length"""
    )
    assert nameless == 0
