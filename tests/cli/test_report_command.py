"""``mmdit report``."""

import re
from functools import partial

import pytest
from PIL import Image
from report_rows import make_rows, write_csv, write_json


@pytest.fixture
def report(folder, mmdit, monkeypatch):
    monkeypatch.chdir(folder)
    return partial(mmdit, 'report')


@pytest.fixture
def folder(tmp_path):
    write_json(tmp_path / 'new.json', make_rows())
    write_csv(tmp_path / 'old.csv', make_rows())
    (tmp_path / 'root/images').mkdir(parents=True)
    for number in range(20):
        image = Image.new('RGB', (40, 30), 'teal')
        image.save(tmp_path / f'root/images/{number}.jpg')
    return tmp_path


def test_a_report_with_images(folder, report):
    options = ['--images', 'root', '--max-pictures', 9, '--draws', 50]
    printed = report('new.json', '--out', 'made/a.html', *options)
    assert 'made/a.html: 40 expressions, 9 images' in printed.stdout
    page = (folder / 'made/a.html').read_text()
    assert page.count('data:image/webp') == 9
    assert '50 bootstrap draws' in page


def test_a_comparison_names_both(folder, report):
    names = ['--names', 'New', 'Old']
    report('new.json', '--compare', 'old.csv', *names, '--draws', 50)
    page = (folder / 'report.html').read_text()
    title = re.search('<title>(.*)</title>', page)
    assert title[1] == 'New against Old · mmdit report'


def test_rows_that_do_not_match_are_rejected(folder, report):
    rows = make_rows()
    rows[5]['ref_id'] = 0
    write_json(folder / 'else.json', rows)
    message = 'new and else cannot be compared: ref_id of row 5'
    result = report('new.json', '--compare', 'else.json')
    assert result.returncode == 1 and message in result.stderr
    assert not (folder / 'report.html').exists()


@pytest.mark.parametrize(
    'options, message',
    [
        (['none.json'], "No such file or directory: 'none.json'"),
        (['new.json', '--names', 'a', 'b'], '--names needs 1 for 1 model'),
        (['new.json', '--overlays', 'a', 'b'], 'at most one folder'),
        (['new.json', '--max-images', '-1'], 'must be 0 or more, got -1'),
        (['new.json', '--images', 'else'], 'image else/images/'),
    ],
)
def test_mistakes_are_named(report, options, message):
    result = report(*options)
    assert result.returncode and message in result.stderr
