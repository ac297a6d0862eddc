import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from report_rows import make_rows, write_csv, write_json

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/report.py'


def report(folder, *args):
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, args)],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def folder(tmp_path):
    write_json(tmp_path / 'new.json', make_rows())
    write_csv(tmp_path / 'old.csv', make_rows())
    (tmp_path / 'root/images').mkdir(parents=True)
    for number in range(20):
        image = Image.new('RGB', (40, 30), 'teal')
        image.save(tmp_path / f'root/images/{number}.jpg')
    return tmp_path


def test_a_report_with_images(folder):
    options = ['--images', 'root', '--max-pictures', 9, '--draws', 50]
    done = report(folder, 'new.json', '--out', 'made/a.html', *options)
    assert done.returncode == 0, done.stderr
    assert 'made/a.html: 40 expressions, 9 pictures' in done.stdout
    page = (folder / 'made/a.html').read_text()
    assert page.count('data:image/webp') == 9
    assert '50 bootstrap draws' in page


def test_a_comparison_names_both(folder):
    options = ['--compare', 'old.csv', '--names', 'New', 'Old']
    done = report(folder, 'new.json', *options, '--draws', 50)
    assert done.returncode == 0, done.stderr
    title = re.search(
        '<title>(.*)</title>', (folder / 'report.html').read_text()
    )
    assert title[1] == 'New against Old · mmdit report'


def test_rows_that_do_not_match_are_refused(folder):
    rows = make_rows()
    rows[5]['ref_id'] = 0
    write_json(folder / 'else.json', rows)
    done = report(folder, 'new.json', '--compare', 'else.json')
    assert done.returncode == 1
    assert 'new and else cannot be compared: ref_id of row 5' in done.stderr
    assert not (folder / 'report.html').exists()


@pytest.mark.parametrize(
    'options, message',
    [
        (['none.json'], "No such file or directory: 'none.json'"),
        (['new.json', '--names', 'a', 'b'], '--names needs 1 for 1 model'),
        (['new.json', '--overlays', 'a', 'b'], 'at most one folder'),
        (['new.json', '--max-pictures', '-1'], 'must be 0 or more, got -1'),
        (['new.json', '--images', 'else'], 'picture else/images/'),
    ],
)
def test_mistakes_are_named(folder, options, message):
    done = report(folder, *options)
    assert done.returncode in (1, 2)
    assert message in done.stderr and 'Traceback' not in done.stderr
