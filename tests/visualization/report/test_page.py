import json
import re

import numpy as np
import pytest
from report_rows import make_results, make_rows, write_json

from mmdit.visualization.report import make_page, read_results


@pytest.fixture
def read(tmp_path):
    def read(rows, name):
        return read_results(write_json(tmp_path / 'rows.json', rows), name)

    return read


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page)[1])


def text_of(page):
    body = page[page.index('<body>') : page.index('<script')]
    return ' '.join(re.sub('<[^>]+>', ' ', body).split())


def test_the_page_stands_alone(read):
    page = make_page(read(make_rows(), 'L-DIT'))
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="(?!#)', page)
    assert 'http' not in page.replace('http-equiv', '')


def test_what_users_write_stays_text(read):
    rows = make_rows()
    rows[0]['expression'] = '</script><script>alert(1)</script>'
    page = make_page(read(rows, '<i>model</i>'))
    assert '<script>alert' not in page and '<i>model' not in page
    assert data_of(page)['expressions'][0] == rows[0]['expression']


def test_cases_are_all_rows(read):
    results = read(make_rows(), 'L-DIT')
    data = data_of(make_page(results))
    assert data['expressions'] == results.expressions
    assert data['ious'] == [pytest.approx(results.iou.tolist(), abs=1e-6)]
    assert data['images'][2:4] == ['1.jpg'] * 2
    color = data['labels'].index('color')
    has_color = [bool(bits >> color & 1) for bits in data['groups']]
    assert has_color == ['red' in text for text in results.expressions]


def test_numbers_of_a_small_page():
    # IoU 0.05, 0.5, 0.95 and 1
    page = make_page(make_results([1, 10, 19, 20], [20] * 4))
    text = text_of(page)
    assert 'mIoU mean of the IoUs 62.5' in text
    assert '1 expression (25.0 %) are missed' not in text
    assert '1 expression (25.0 %) is missed' in text
    assert 'P@0.9 IoU above 0.9 50.0' in text
    counts = re.findall(r'title="IoU ([\d.]+) to [\d.]+: (\d+)', page)
    filled = {low: int(n) for low, n in counts if n != '0'}
    assert filled == {'0.05': 1, '0.5': 1, '0.95': 2}
    assert len(counts) == 20
    assert 'These rows do not hold the pixels of the ground truth' in text


def test_gaps_of_small_groups_are_marked(read):
    text = text_of(make_page(read(make_rows(20), 'L-DIT')))
    assert '* Fewer than 20 images' in text
    assert 'nan' not in text.lower().replace('no target', '')


def test_expressions_that_name_nothing(read):
    text = text_of(make_page(read(make_rows(generalized=True), 'L-DIT')))
    assert '40 expressions of 20 images, 8 of them no-target' in text
    assert 'N-acc' in text and 'T-acc' in text and 'no target' in text
    assert '4 expressions (50.0 %) have a predicted mask' in text


def test_two_models(read):
    rows, others = make_rows(), make_rows()
    for row in others[:10]:
        row['union'] += row['intersection']
        row['intersection'] = 0
    one, other = read(rows, 'new'), read(others, 'old')
    page = make_page(one, other)
    gain = 100 * (one.iou - other.iou).mean()
    changed = int((one.iou != other.iou).sum())
    text = text_of(page)
    assert f'new is ahead of old by {gain:.1f} mIoU' in text
    assert f'new has the higher IoU in {changed} expressions' in text
    assert 'old in 0 expressions (0.0 %)' in text
    assert f'+{gain:.1f}' in text
    assert len(data_of(page)['ious']) == 2
    turned = text_of(make_page(other, one))
    assert f'−{gain:.1f}' in turned and 'new is ahead of old' in turned


def test_models_of_other_items_are_rejected(read):
    others = make_rows()
    others[1]['expression'] = 'else'
    with pytest.raises(ValueError, match='expression of row 1'):
        make_page(read(make_rows(), 'a'), read(others, 'b'))


def test_equal_scores_are_no_verdict():
    results = make_results([5] * 8, [10] * 8)
    text = text_of(make_page(results, results))
    assert 'another sample of images might reverse' not in text
    assert 'model and model have the same mIoU' in text


def test_the_same_rows_give_the_same_page():
    results = make_results(np.arange(30), [30] * 30)
    assert make_page(results) == make_page(results)
