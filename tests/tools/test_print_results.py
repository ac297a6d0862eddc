"""tools/analysis_tools/print_results.py."""

import json
import re
from functools import partial
from pathlib import Path

import pytest


@pytest.fixture
def print_results(run_tool, tmp_path):
    return partial(run_tool, 'analysis_tools/print_results.py', tmp_path)


def write_rows(path: Path, areas: list[tuple[int, int]]) -> Path:
    """Write rows with the given (intersection, union) areas."""
    rows = [
        dict(intersection=i, union=u, iou=i / u, expression='left')
        for i, u in areas
    ]
    path.write_text(json.dumps(rows))
    return path


def test_table_matches_a_hand_count(print_results, tmp_path):
    # IoU 1.0, 0.8 and exactly 0.5, which is not above 0.5.
    rows = write_rows(tmp_path / 'a.json', [(10, 10), (8, 10), (50, 100)])
    printed = print_results(f'expressions as written={rows}')
    header, line = printed.splitlines()
    names = ['mIoU', 'oIoU', 'P@0.5', 'P@0.7', 'P@0.9', 'expressions']
    assert header.split() == names
    values = line.removeprefix('expressions as written').split()
    assert values == ['76.67', '56.67', '66.67', '66.67', '33.33', '3']


def test_lines_are_aligned_whatever_the_names(print_results, tmp_path):
    rows = write_rows(tmp_path / 'rows.json', [(1, 2)])
    printed = print_results(f'a long name={rows}', rows)
    lines = printed.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2].startswith('rows ')


def test_splits_have_lines_and_the_paper_is_beside_them(
    print_results, tmp_path
):
    path = write_rows(tmp_path / 'rows.json', [(1, 2), (9, 10)])
    rows = json.loads(path.read_text())
    rows[0].update(dataset='refcoco', split='val')
    rows[1].update(dataset='refcoco', split='testA')
    path.write_text(json.dumps(rows))
    printed = print_results('--paper', 'ldit_sam-vit-b', f'mine={path}')
    *table, blank, titles, names, ours, paper = printed.splitlines()
    assert [line.split()[:3] for line in table[1:]] == [
        ['mine', 'refcoco', 'val'],
        ['mine', 'refcoco', 'testA'],
    ]
    assert not blank and titles.split('|')[1].split() == ['refcoco', 'testA']
    assert names.split()[:5] == ['P@0.5', 'P@0.7', 'P@0.9', 'oIoU', 'mIoU']
    assert ours.split()[:6] == ['ours', '0.00', '0.00', '0.00', *['50.00'] * 2]
    assert paper.split('|')[0].split() == (
        ['paper', '85.68', '76.61', '29.89', '71.98', '74.73']
    )
    with pytest.raises(SystemExit, match='does not report'):
        print_results('--paper', 'other', path)


def test_a_good_a_medium_and_a_bad_overlay_are_named(print_results, tmp_path):
    path = write_rows(tmp_path / 'rows.json', [(i, 10) for i in range(10)])
    rows = json.loads(path.read_text())
    for i, row in enumerate(rows):
        row.update(img_path=f'images/{i}.png', sent_id=i)
    path.write_text(json.dumps(rows))
    lines = print_results(path, '--overlays', 'shown').splitlines()[-3:]
    assert [(line.split()[0], line.split()[3]) for line in lines] == [
        ('good', 'shown/9_sent9.png'),
        ('medium', 'shown/5_sent5.png'),
        ('bad', 'shown/1_sent1.png'),
    ]


@pytest.mark.parametrize('text', [None, '[]', '{', '{"a": 1}'])
def test_a_file_without_rows_is_named(print_results, tmp_path, text):
    path = tmp_path / 'bad.json'
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit, match=re.escape(str(path))):
        print_results(f'name={path}')
