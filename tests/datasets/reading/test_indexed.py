"""JSON-lines files, read row by row."""

import copy
import fcntl
import json
import os
import pickle
import random
import time
from contextlib import suppress
from multiprocessing import get_context

import numpy as np
import pytest

from mmdit import indexing
from mmdit.datasets import ReferJSONLDataset
from mmdit.datasets.reading import indexed
from mmdit.datasets.reading.indexed import IndexedRows, find_files
from mmdit.datasets.reading.rows import Row, read_rows


def as_it_is(place, row):
    return place, row


def row(number=0, **changes):
    words = ['box', 'größe', 'the \u2028 box', 'x' * (number % 7 * 9 + 1)]
    good = dict(
        image=f'{number % 5}.jpg',
        expression=words[number % 4],
        mask=[[2, 2, 12, 2, 12, number + 3]],
    )
    return json.dumps({**good, **changes}, ensure_ascii=number % 2 == 0)


def write_odd(path, seed):
    """Write rows between blank lines, of all sorts."""
    draw = random.Random(seed)
    blank = ['', '\r', ' \t ', '\x0b']
    lines = []
    for number in range(draw.randrange(1, 40)):
        lines += draw.choices(blank, k=draw.choice([0, 0, 0, 1, 5]))
        lines.append(draw.choice(['', ' ']) + row(number))
        lines[-1] += draw.choice(['', '\r'])
    lines += draw.choices(blank, k=draw.randrange(3))
    text = '\n'.join(lines) + draw.choice(['', '\n', '\n\n'])
    path.write_bytes(draw.choice([b'', b'\xef\xbb\xbf']) + text.encode())
    return path


def read_all(path):
    rows = IndexedRows([str(path)], as_it_is)
    return [(place.line, row) for place, row in rows]


@pytest.mark.parametrize('part', [1, 50, 333, 1 << 25])
def test_the_rows_are_those_of_plain_reading(tmp_path, monkeypatch, part):
    monkeypatch.setattr(indexed, '_PART', part)
    monkeypatch.setattr(indexed.os, 'sched_getaffinity', lambda _: {0})
    for seed in range(12):
        path = write_odd(tmp_path / f'{part} {seed}.jsonl', seed)
        expected = list(read_rows(path))
        assert expected and all(isinstance(row, Row) for _, row in expected)
        # As it is made, and as it is found.
        assert read_all(path) == read_all(path) == expected


@pytest.mark.parametrize('part', [40, 1 << 25])
@pytest.mark.parametrize(
    'line',
    ['{', '[]', row(mask=[]), row(image='https://a/b.jpg'), '\u00a0', '\xff'],
)
def test_the_first_broken_row_is_told(tmp_path, monkeypatch, part, line):
    monkeypatch.setattr(indexed, '_PART', part)
    path = tmp_path / 'rows.jsonl'
    lines = [row(), '', row(1), line, row(2), '{', '']
    content = '\n'.join(lines).encode()
    path.write_bytes(content.replace('\xff'.encode(), b'\xff'))
    [(number, error), *_] = [
        found for found in read_rows(path) if isinstance(found[1], ValueError)
    ]
    assert number == 4
    with pytest.raises(ValueError) as caught:
        IndexedRows([str(path)], as_it_is)
    assert str(caught.value).startswith(f'{path}, line 4: {error}')
    assert os.listdir(tmp_path) == [path.name]


def test_parts_are_checked_by_several_processes(tmp_path, monkeypatch):
    path = tmp_path / 'rows.jsonl'
    path.write_text('\n\n'.join(map(row, range(40))))
    expected = list(read_rows(path))
    monkeypatch.setattr(indexed, '_PART', 1000)
    monkeypatch.setattr(indexed.os, 'sched_getaffinity', lambda _: {0, 1})
    assert read_all(path) == expected


def test_what_a_killed_process_began_another_one_ends(tmp_path, monkeypatch):
    path, begun = tmp_path / 'rows.jsonl', tmp_path / 'begun'
    path.write_text('\n'.join(map(row, range(40))))

    def wait(*_):
        begun.touch()
        time.sleep(20)

    with monkeypatch.context() as patch:
        patch.setattr(indexed, '_PART', 1000)
        patch.setattr(indexed.os, 'sched_getaffinity', lambda _: {0, 1})
        patch.setattr(indexed, 'check_lines', wait)
        process = get_context('fork').Process(target=read_all, args=(path,))
        process.start()
    while not begun.exists():
        time.sleep(0.01)
    process.kill()
    process.join()
    with open(tmp_path / '.rows.jsonl.index.part') as part:
        # Its workers had the lock, too.
        for _ in range(500):
            with suppress(BlockingIOError):
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.01)
        else:
            pytest.fail('the lock is still held')
    assert read_all(path) == list(read_rows(path))


@pytest.fixture
def ten(tmp_path):
    path = tmp_path / 'ten.jsonl'
    path.write_text('\n'.join(row(n, id=n) for n in range(10)) + '\n')
    return path


def names(rows):
    return [row.name for _, row in rows]


def test_items_can_be_chosen_without_reading(ten):
    rows = IndexedRows([str(ten)], as_it_is)
    ten.unlink()  # so nothing can be read
    assert len(rows[3:7]) == 4 and len(rows.select([1, 1, -1])) == 3
    assert len(rows.select([])) == 0
    with pytest.raises(IndexError, match='has 10, expected numbers of 10'):
        rows.select([3, 10])


def test_chosen_items(ten):
    rows = IndexedRows([str(ten)], as_it_is)
    assert names(rows[3:7]) == names(rows[:-3][3:]) == [3, 4, 5, 6]
    assert names(rows[::-2].select([0, -1])) == [9, 1]
    assert names(rows.select([5, 2, -1])[1:]) == [2, 9]
    assert names(rows.select([5, 2, -1]).select([2, 0])) == [9, 5]
    assert rows[-1][1].name == 9
    for wrong in (10, -11):
        with pytest.raises(IndexError):
            rows[wrong]


def test_a_worker_opens_the_files_again(ten):
    rows = IndexedRows([str(ten)], as_it_is)[2:4]
    sent = pickle.dumps(rows)
    assert len(sent) < 2000
    assert names(pickle.loads(sent)) == [2, 3]
    assert names(copy.deepcopy(rows)) == [2, 3]
    ten.write_text(row())
    with pytest.raises(ValueError, match='was changed'):
        pickle.loads(sent)


def test_a_row_is_checked_whenever_it_is_read(ten):
    rows = IndexedRows([str(ten)], as_it_is)
    status, content = ten.stat(), ten.read_bytes()
    third = content.splitlines(keepends=True)[2]
    for changed, message in (
        (third.replace(b'2.jpg', b'a://b'), "'image' is .*which is a URL"),
        (b'x' * (len(third) - 1) + b'\n', 'not JSON'),
        (third.replace(b'": ', b'":\n'), 'not the line that was checked'),
        (b' ' * (len(third) - 1) + b'\n', 'blank now'),
    ):
        ten.write_bytes(content.replace(third, changed))
        # Nothing tells that the file is another.
        os.utime(ten, ns=(status.st_atime_ns, status.st_mtime_ns))
        indexing._open.cache_clear()
        with pytest.raises(ValueError, match=f'{ten}, line 3: .*{message}'):
            rows[2]
        assert rows[3][1].name == 3


@pytest.mark.parametrize('numbers', [[7], [9, 1], [0, 9, 9, 2**62]])
def test_an_index_that_somebody_else_wrote_is_told(ten, numbers):
    def forge(write):
        write(np.array(numbers))
        return bytes(32)

    indexing.open_index(ten, indexed._KIND, forge)
    with pytest.raises(ValueError, match=f'index of {ten} is damaged; remove'):
        IndexedRows([str(ten)], as_it_is)


def test_files_of_a_pattern_follow_one_another(tmp_path):
    lines = [row(0), '', row(1), row(2), '', '', row(3), row(4)]
    whole = tmp_path / 'whole.jsonl'
    whole.write_text('\n'.join(lines) + '\n')
    for name, part in (
        ('part-10', lines[3:4]),
        ('part-09', lines[:3]),
        ('part-11', []),
        ('part-12', lines[4:]),
    ):
        text = ''.join(f'{line}\n' for line in part)
        (tmp_path / f'{name}.jsonl').write_text(text)

    def read(name):
        dataset = ReferJSONLDataset(ann_file=name, data_root=str(tmp_path))
        items = list(dataset)
        return (
            items,
            [i.pop('source') for i in items],
            {i.pop('split') for i in items},
        )

    items, sources, splits = read('part-*.jsonl')
    assert items == read('whole.jsonl')[0]
    assert splits == {'part-*'}
    assert sources[1:3] == [
        f'{tmp_path}/part-09.jsonl, line 3',
        f'{tmp_path}/part-10.jsonl, line 1',
    ]
    # Indexes are no rows.
    assert read('*-*')[0] == items


def test_a_file_of_two_names_is_told(ten):
    ten.with_name('last.jsonl').symlink_to(ten)
    with pytest.raises(ValueError, match='last.jsonl and .*ten.jsonl.* twice'):
        find_files(f'{ten.parent}/*.jsonl')
    assert find_files(f'{ten.parent}/**/**/t*.jsonl') == [str(ten)]


def test_brackets_in_names_and_folders_are_no_pattern(tmp_path):
    root = tmp_path / 'set[1]'
    root.mkdir()
    for name in ('a[1].jsonl', 'a1.jsonl'):
        (root / name).write_text(row())
    assert find_files(f'{root}/a[1].jsonl', str(root)) == [
        f'{root}/a[1].jsonl'
    ]
    assert find_files(f'{root}/a[12].jsonl', str(root)) == [f'{root}/a1.jsonl']
    with pytest.raises(FileNotFoundError, match=r'b\*.jsonl does not exist'):
        ReferJSONLDataset(ann_file='b*.jsonl', data_root=str(root))
