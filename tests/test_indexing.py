"""Indexes kept beside files."""

import errno
import os
import threading

import numpy as np
import pytest

from mmdit import indexing
from mmdit.indexing import open_index, read_at

KIND = b'test  01'


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'data' / 'numbers.txt'
    path.parent.mkdir()
    path.write_bytes(b'1 2 3\n')
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def numbers_of(path):
    return np.array(path.read_bytes().split(), np.int64)


def make_of(path, made):
    """Return a function that writes the numbers of a file, and says so."""

    def make(write):
        made.append(path.name)
        for number in numbers_of(path):
            write(np.array([number]))
        return path.read_bytes().ljust(32, b'.')

    return make


def reopen(path, made, **options):
    index = open_index(path, KIND, make_of(path, made), **options)
    assert index.numbers.tolist() == numbers_of(path).tolist()
    return index


def index_file(path):
    return path.with_name(f'.{path.name}.index')


def test_it_is_made_once_and_leaves_one_file(path):
    made = []
    first, second = reopen(path, made), reopen(path, made)
    assert made == [path.name]
    assert first.stamp == second.stamp
    assert isinstance(second.numbers, np.memmap)
    assert not second.numbers.flags.writeable
    assert set(os.listdir(path.parent)) == {path.name, index_file(path).name}


@pytest.mark.parametrize(
    'damage',
    [
        lambda content: content[:-1],
        lambda content: content + b'\0',
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b'',
        lambda content: b'other 01' + content[8:],
        lambda content: b'\x80\x04cos\nsystem\n' * 20,
        lambda content: content[:56] + b'\xff' * 8 + content[64:],
    ],
)
def test_a_damaged_or_foreign_one_is_made_anew(path, damage):
    made = []
    reopen(path, made)
    index_file(path).write_bytes(damage(index_file(path).read_bytes()))
    reopen(path, made)
    reopen(path, made)
    assert len(made) == 2


def test_another_state_of_the_file_has_another_one(path):
    made = []
    reopen(path, made)
    path.write_bytes(b'4 5 6 7\n')
    reopen(path, made)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    reopen(path, made)
    assert len(made) == 3


def test_a_copy_of_another_time_keeps_it_by_the_digest(path):
    made, digests = [], []

    def digest():
        digests.append(path.read_bytes())
        return digests[-1].ljust(32, b'.')

    for second in range(3):
        os.utime(path, (second, second))
        reopen(path, made, digest=digest)
        reopen(path, made, digest=digest)
    assert (len(made), len(digests)) == (1, 2)
    path.write_bytes(b'3 2 1\n')
    reopen(path, made, digest=digest)
    assert len(made) == 2


def part_file(path):
    return path.with_name(f'{index_file(path).name}.part')


def check_the_cache_has_it(path, cache):
    made = []
    reopen(path, [])
    reopen(path, made)
    assert not made
    assert len(list(cache.glob('mmdit/index/*.index'))) == 1


@pytest.mark.parametrize('name', [index_file, part_file])
def test_where_the_folder_cannot_be_written_the_cache_has_it(
    path, cache, name
):
    # Root may write everywhere, but not into a folder as into a file.
    name(path).mkdir()
    check_the_cache_has_it(path, cache)


@pytest.mark.parametrize('link', [os.symlink, os.link])
def test_no_link_leads_to_the_file_of_somebody_else(path, cache, link):
    precious = cache.with_name('precious.txt')
    precious.write_text('mine')
    link(precious, part_file(path))
    check_the_cache_has_it(path, cache)
    assert precious.read_text() == 'mine'


def test_nobody_waits_at_a_pipe(path):
    os.mkfifo(index_file(path))
    reopen(path, [])


def test_where_the_disk_is_full_the_cache_has_it(path, cache, monkeypatch):
    replace = os.replace

    def fail(part, place):
        if str(place) == str(index_file(path)):
            raise OSError(errno.ENOSPC, 'No space left on device')
        replace(part, place)

    monkeypatch.setattr(os, 'replace', fail)
    check_the_cache_has_it(path, cache)
    assert os.listdir(path.parent) == [path.name]


def test_it_needs_no_home(path, monkeypatch):
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
    reopen(path, [])


def test_no_place_at_all_is_told(path, cache):
    part_file(path).mkdir()
    cache.write_text('a file')
    with pytest.raises(OSError, match='no index of .*XDG_CACHE_HOME'):
        reopen(path, [])


def test_of_several_processes_one_makes_it(path):
    made, indexes = [], []
    started = threading.Barrier(4)

    def make(write):
        # The others have come to wait, or will find it made.
        made.append(path.name)
        write(np.arange(1000))
        return bytes(32)

    def open_it():
        started.wait()
        indexes.append(open_index(path, KIND, make))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [path.name]
    assert [len(index.numbers) for index in indexes] == [1000] * 4
    assert set(os.listdir(path.parent)) == {path.name, index_file(path).name}


def test_who_waits_says_so(path, monkeypatch):
    waits, said = threading.Event(), []

    def say(text, logger):
        said.append(text)
        waits.set()

    def make(write):
        # The other one waits now, or never will.
        waits.wait(60)
        write(np.arange(3))
        return bytes(32)

    def open_it():
        open_index(path, KIND, make)

    monkeypatch.setattr('mmengine.logging.print_log', say)
    threads = [threading.Thread(target=open_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    part = part_file(path)
    assert said == [f'waiting for another process that writes {part}']


def test_a_failure_leaves_nothing_and_the_next_one_goes_on(path):
    def fail(write):
        write(np.arange(5))
        raise ValueError('line 3 is broken')

    with pytest.raises(ValueError, match='line 3 is broken'):
        open_index(path, KIND, fail)
    assert os.listdir(path.parent) == [path.name]
    reopen(path, [])


def test_what_a_crash_left_does_not_matter(path):
    part_file(path).write_bytes(b'x' * 1000)
    reopen(path, [])
    assert set(os.listdir(path.parent)) == {path.name, index_file(path).name}


def test_a_file_that_grows_meanwhile_is_told(path):
    def make(write):
        with open(path, 'a') as file:
            file.write('4\n')
        write(np.arange(5))
        return bytes(32)

    with pytest.raises(ValueError, match='was changed .*start again'):
        open_index(path, KIND, make)
    assert os.listdir(path.parent) == [path.name]


def test_parts_of_the_file_are_read(path):
    stamp = reopen(path, []).stamp
    assert read_at(str(path), stamp, 2, 3) == b'2 3'
    for start, size in ((-1, 2), (2, -1), (0, 7), (2, 2**62), (7, 0)):
        with pytest.raises(ValueError, match='was changed'):
            read_at(str(path), stamp, start, size)


@pytest.mark.parametrize('content', [b'1', b'1 2 3\n4\n', b'3 2 1\n'])
def test_a_changed_file_is_not_read_in_part(path, content):
    stamp = reopen(path, []).stamp
    read_at(str(path), stamp, 2, 3)
    path.write_bytes(content)  # while it is open
    with pytest.raises(ValueError, match='was changed'):
        read_at(str(path), stamp, 0, 1)
    indexing._open.cache_clear()
    with pytest.raises(ValueError, match='was changed'):
        read_at(str(path), stamp, 0, 1)
