import numpy as np
import pytest
from report_rows import make_rows, write_csv, write_json

from mmdit.visualization.report import check_same_items, read_results


@pytest.mark.parametrize('generalized', [False, True])
def test_both_formats_hold_the_same(tmp_path, generalized):
    rows = make_rows(generalized=generalized)
    one = read_results(write_json(tmp_path / 'a.json', rows))
    other = read_results(write_csv(tmp_path / 'a.csv', rows))
    check_same_items(one, other)
    assert one.items == other.items and one.img_paths == other.img_paths
    for key in (
        'intersection',
        'union',
        'ground_truth',
        'predicted',
        'area',
        'iou',
    ):
        assert (getattr(one, key) == getattr(other, key)).all()
    assert one.iou.tolist() == [row['iou'] for row in rows]
    assert one.area.tolist() == [2000] * len(rows)
    nothing = [row.get('no_target', False) for row in rows]
    assert one.no_target.tolist() == other.no_target.tolist() == nothing
    assert any(nothing) == generalized == one.generalized


def test_the_name_is_the_path_or_what_is_given(tmp_path):
    path = write_json(tmp_path / 'a.json', make_rows(4))
    assert read_results(path).name == str(tmp_path / 'a')
    assert read_results(path, 'L-DIT').name == 'L-DIT'


def test_rows_without_areas_are_read(tmp_path):
    rows = make_rows(4)
    for row in rows:
        del row['ground_truth']
    results = read_results(write_json(tmp_path / 'a.json', rows))
    assert results.ground_truth is results.area is results.predicted is None
    assert not results.no_target.any()


def test_other_files_are_rejected(tmp_path):
    (tmp_path / 'a.json').write_text('[]')
    (tmp_path / 'b.json').write_text('{')
    with pytest.raises(ValueError, match='a.json holds no result rows'):
        read_results(tmp_path / 'a.json')
    with pytest.raises(ValueError, match='b.json cannot be read'):
        read_results(tmp_path / 'b.json')
    with pytest.raises(ValueError, match=r'expected a .json or .csv .*c\.txt'):
        read_results(tmp_path / 'c.txt')
    with pytest.raises(FileNotFoundError):
        read_results(tmp_path / 'd.json')


def test_a_missing_column_is_named(tmp_path):
    rows = make_rows(4)
    del rows[2]['union']
    with pytest.raises(ValueError, match="row 2 of .*a.json has no 'union'"):
        read_results(write_json(tmp_path / 'a.json', rows))
    rows = make_rows(4, generalized=True)
    del rows[3]['ground_truth']
    with pytest.raises(ValueError, match="no 'ground_truth'"):
        read_results(write_json(tmp_path / 'b.json', rows))


@pytest.mark.parametrize('both, union', [(5, 4), (-1, 4), ('many', 4)])
def test_impossible_counts_are_rejected(tmp_path, both, union):
    rows = make_rows(4)
    rows[1].update(intersection=both, union=union)
    with pytest.raises(ValueError, match='row 1 .*0 <= intersection <= union'):
        read_results(write_json(tmp_path / 'a.json', rows))


@pytest.mark.parametrize('key', ['expression', 'sent_id', 'ref_id'])
def test_rows_of_other_items_are_rejected_by_name(tmp_path, key):
    rows, others = make_rows(6), make_rows(6)
    others[3][key] = 'else'
    one = read_results(write_json(tmp_path / 'a.json', rows), 'A')
    other = read_results(write_json(tmp_path / 'b.json', others), 'B')
    message = f'A and B cannot be compared: {key} of row 3 is .* and .else.'
    with pytest.raises(ValueError, match=message):
        check_same_items(one, other)


def test_other_numbers_of_rows_and_other_masks_are_rejected(tmp_path):
    one = read_results(write_json(tmp_path / 'a.json', make_rows(6)))
    short = read_results(write_json(tmp_path / 'b.json', make_rows(4)))
    with pytest.raises(ValueError, match='they have 6 and 4 rows'):
        check_same_items(one, short)
    other = read_results(write_json(tmp_path / 'c.json', make_rows(6)))
    other.ground_truth[4] += 1
    with pytest.raises(ValueError, match='ground_truth of row 4 .*masks'):
        check_same_items(one, other)
    assert isinstance(one.iou, np.ndarray)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('union', float('inf'), 'union inf; expected pixels'),
        ('union', float('nan'), 'union nan; expected pixels'),
        ('union', 2**70, 'union 1180591620717411303424; expected pixels'),
        ('intersection', [1], r'intersection \[1\] and union'),
        ('height', 1e300, 'height 1e.300; expected pixels, a whole number'),
        ('height', 2**40, 'height 1099511627776; expected .* 0 to 1048576'),
        ('ground_truth', -1, 'ground_truth -1; expected pixels'),
        ('predicted', None, 'predicted None; expected pixels'),
        ('expression', 'half \ud800', r"expression 'half \\ud800', expected"),
        ('expression', ['a'], r"expression \['a'\], expected text"),
        ('img_path', 5, 'img_path 5, expected text'),
    ],
)
def test_what_no_row_can_hold_is_one_sentence(tmp_path, key, value, message):
    rows = make_rows(4)
    rows[1][key] = value
    with pytest.raises(ValueError, match=message) as error:
        read_results(write_json(tmp_path / 'a.json', rows))
    assert len(str(error.value)) < 600 and '\n' not in str(error.value)


@pytest.mark.parametrize(
    'value', ['inf', '1e300', '', '-4', '4.0', '9' * 5000]
)
def test_text_of_a_csv_that_is_no_count_is_rejected(tmp_path, value):
    rows = make_rows(4)
    rows[1]['union'] = value
    with pytest.raises(ValueError, match='row 1 .*a.csv has intersection'):
        read_results(write_csv(tmp_path / 'a.csv', rows))


def test_large_integers_files_with_a_bom_and_deep_ones(tmp_path):
    path = write_json(tmp_path / 'a.json', make_rows(4))
    path.write_text('\ufeff' + path.read_text(), encoding='utf-8')
    assert len(read_results(path)) == 4
    for text in ('[' * 100_000, '[{"union": ' + '9' * 5000 + '}]'):
        path.write_text(text)
        with pytest.raises(ValueError, match='a.json cannot be read'):
            read_results(path)
    path = tmp_path / 'b.csv'
    path.write_text('union\n' + 'x' * 200_000 + '\n')
    with pytest.raises(ValueError, match='b.csv cannot be read'):
        read_results(path)
