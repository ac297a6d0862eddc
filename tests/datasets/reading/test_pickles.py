"""Pickles that want more than their size is worth, or more than data."""

import pickle
import resource
import struct
import time

import numpy as np
import pytest

from mmdit.datasets.reading.pickles import (
    UnsafePickleError,
    load_plain_pickle,
)


def load(tmp_path, content):
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(content)
    return load_plain_pickle(path)


def tuples(levels):
    """A dict whose key is a tuple of two equal tuples of two ..."""
    return b'\x80\x02})' + b'2\x86' * levels + b'K\x01s.'


MILLION = 10**6
GREEDY = dict(
    memo=b'\x80\x02]r\x00\x00\x00\x04.',
    memo_in_text=b']p4294967295\n.',
    nested_key=tuples(60),
    deep_key=b'\x80\x02})' + b'\x85' * MILLION + b'K\x01s.',
    deep_tuple=b'\x80\x02)' + b'\x85' * MILLION + b'.',
    text=b'\x80\x04\x8d' + struct.pack('<Q', 1 << 40) + b'.',
    array=b'\x80\x05\x96' + struct.pack('<Q', 1 << 32) + b'.',
    frame=b'\x80\x04\x95' + struct.pack('<Q', 1 << 32) + b'].',
    integer=b'\x80\x02\x8b' + struct.pack('<i', MILLION) + b'\x7f' * MILLION,
    digits=b'L' + b'9' * 100_000 + b'L\n.',
    equal_hashes=b'\x80\x02}('
    + b''.join(
        b'\x8a\x0c' + ((2**61 - 1) * n).to_bytes(12, 'little') + b'N'
        for n in range(1, 20_000)
    )
    + b'u.',
    copies=b'\x80\x02c__builtin__\nset\n]q\x00('
    + b'K\x01' * 50_000
    + b'e\x85R'
    + b'0c__builtin__\nset\nh\x00\x85R' * 3000
    + b'.',
)


@pytest.mark.parametrize('name', GREEDY)
def test_memory_and_time_are_bounded_by_the_size(tmp_path, name):
    content = GREEDY[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    try:
        load(tmp_path, content)
    except ValueError as error:
        assert 'refs(unc).p is not a complete pickle' in str(error)
    assert time.process_time() - start < 10
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 50e6 + 100 * len(content)


def test_a_text_with_everything_in_it_is_read_either_way(tmp_path):
    text = ''.join(map(chr, range(300))) + 'r\0\0\0\4.('
    content = [dict(sent=text, ids=[1, 2**40, -(2**60)], x=1.5)] * 3
    for protocol in range(6):
        assert load(tmp_path, pickle.dumps(content, protocol)) == content
        # A tuple sends it the slow way.
        slow = pickle.dumps((content,), protocol)
        assert load(tmp_path, slow) == (content,)


@pytest.mark.parametrize('protocol', range(6))
def test_scalars_of_numpy_become_pythons(tmp_path, protocol):
    values = [np.int64(-5), np.uint8(200), np.float32(0.5), np.bool_(True)]
    values += [np.str_('hé'), np.int32(7).astype('>i4')]
    read = load(tmp_path, pickle.dumps(values, protocol))
    assert read == [-5, 200, 0.5, True, 'hé', 7]
    assert [type(v) for v in read] == [int, int, float, bool, str, int]


@pytest.mark.parametrize(
    ('written', 'named'),
    [
        (pickle.dumps(np.arange(3), 2), 'numpy._core.multiarray._reconstru'),
        (pickle.dumps(np.array(['a', 1], object), 2), '_reconstruct'),
        (
            b'\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n'
            b'U\x02O8K\x00K\x01\x87RU\x08AAAAAAAA\x86R.',
            "numpy.dtype of 'O8'",
        ),
        (b"c_codecs\nlookup\n(S'x'\ntR.", '_codecs.lookup'),
        (b'\x80\x02ccollections\nOrderedDict\n)R}b.', 'a state'),
        (b'\x80\x02K\x01)R.', 'a call of what is not a function'),
    ],
)
def test_arrays_objects_and_calls_are_rejected(tmp_path, written, named):
    with pytest.raises(UnsafePickleError, match=named):
        load(tmp_path, written)
