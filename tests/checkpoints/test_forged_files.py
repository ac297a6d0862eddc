"""Files made to run code, to point anywhere in memory, or to fill it."""

import json
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from mmdit.checkpoints.files import read_checkpoint

CODE = "import os\nos.system('id > PWNED')\n"


def test_no_config_leaves_the_reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Config.fromstring(CODE, '.py')
    assert (tmp_path / 'PWNED').exists()  # so there is something to reject
    info = dict(cfg=CODE, config=CODE, epoch=2)
    meta = dict(config=CODE, cfg=CODE, seed=3, iter=4)
    checkpoint = dict(
        state_dict=dict(a=torch.ones(1)),
        meta=meta,
        cfg=CODE,
        message_hub=dict(runtime_info=info),
    )
    torch.save(checkpoint, 'a.pth')
    loaded = read_checkpoint('a.pth')
    assert 'PWNED' not in str(loaded)
    assert loaded['meta'] == dict(seed=3, iter=4)
    assert loaded['message_hub'] == dict(runtime_info=dict(epoch=2))
    assert set(loaded) == {'state_dict', 'meta', 'message_hub'}


class Call:
    """A pickle that calls ``function``, and then sets a state."""

    def __init__(self, function, *args, state=None):
        self.call = (function, args, state)

    def __reduce__(self):
        return self.call


def array_of(dtype, shape, content):
    """Forge an array as numpy's own pickles spell it."""
    rebuild, args, _ = np.zeros(1).__reduce__()
    return Call(rebuild, *args, state=(1, shape, dtype, False, content))


def scalar_of(dtype, content):
    return Call(np.float64(0).__reduce__()[0], dtype, content)


F8 = np.dtype('f8')
FORGED = {
    'array called': Call(np.ndarray, (2,), 'O', b'A' * 16),
    'numbers called': Call(np.ndarray, (1 << 40,), 'f8'),
    'objects': array_of(np.dtype('O'), (2,), b'A' * 16),
    'objects in a list': array_of(np.dtype('O'), (1,), [print]),
    'objects in fields': array_of(np.dtype([('a', 'O')]), (2,), b'A' * 16),
    'objects in parts': array_of(np.dtype(('O', 2)), (2,), b'A' * 32),
    'object scalar': scalar_of(np.dtype('O'), b'A' * 8),
    'text': array_of(np.dtype('U2'), (1,), b'A' * 8),
    'huge array': array_of(F8, (1 << 40,), b'A' * 16),
    'negative array': array_of(F8, (-1, -2), b'A' * 16),
    'other function': Call(np.load, 'a.npy'),
    'empty array': Call(np.zeros(1).__reduce__()[0], np.ndarray, (1 << 40,)),
    'history': Call(HistoryBuffer, [1], [1]),
    'bytearray': Call(bytearray, 1 << 33),
    'tensor': Call(torch.Tensor, 1 << 33),
    'tensor class': Call(torch.FloatTensor, 1 << 33),
}


@pytest.mark.parametrize('name', [*FORGED])
@pytest.mark.parametrize('legacy', [False, True])
def test_forged_values_are_rejected(tmp_path, name, legacy):
    path = tmp_path / 'forged.pth'
    weights = dict(a=torch.ones(1))
    torch.save(
        dict(state_dict=weights, meta=dict(value=FORGED[name])),
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(ValueError, match=r'forged\.pth') as error:
        read_checkpoint(str(path))
    assert 'weights_only` set to' not in str(error.value)


def test_histories_and_arrays_come_back_with_their_methods(tmp_path):
    history = HistoryBuffer([3.0, 1.0], [1, 2])
    values = dict(
        history=history,
        arrays=[
            np.arange(6).astype(t).reshape(2, 3).T for t in ['>i2', 'f4', '?']
        ],
        scalar=np.float16(0.5),
        same=[(1, 2)] * 3,
    )
    torch.save(
        dict(state_dict=dict(a=torch.ones(1)), **values), tmp_path / 'a.pth'
    )
    loaded = read_checkpoint(str(tmp_path / 'a.pth'))
    assert type(loaded['history']) is HistoryBuffer
    assert loaded['history'].statistics('min') == 1
    loaded['history'].update(0.0)
    assert loaded['history'].current() == 0
    for given, read in zip(values['arrays'], loaded['arrays'], strict=True):
        assert type(read) is np.ndarray and read.dtype == given.dtype
        assert np.array_equal(given, read)
    assert loaded['scalar'] == 0.5 and loaded['same'] == values['same']


def rewrite(path, edit, compression=zipfile.ZIP_STORED):
    """Write the parts of a checkpoint anew."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, edit(name, content))


@pytest.mark.parametrize(
    ('old', 'new'),
    [(b'K\x04tq', b'J\0\0\0\1tq'), (b'K\x04\x85', b'J\0\0\0\x40\x85')],
    ids=['storage', 'tensor'],
)
def test_sizes_beyond_the_file_are_rejected(tmp_path, old, new):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(a=torch.arange(4.0))), path)

    def edit(name, content):
        if name.endswith('data.pkl'):
            assert old in content
        return content.replace(old, new, 1)

    rewrite(path, edit)
    with pytest.raises(ValueError, match=r'a\.pth'):
        read_checkpoint(str(path))


def test_endless_data_is_rejected(tmp_path):
    """Tuples of the same tuple twice: to hash them takes 2 ** 60 steps."""
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(a=torch.ones(1)), KEY=1), path)
    key, pairs = b'X\x03\0\0\0KEY', b')' + b'q\xffh\xff\x86' * 60
    rewrite(path, lambda _, content: content.replace(key, pairs))
    with pytest.raises(ValueError, match='endless'):
        read_checkpoint(str(path))


def test_compressed_parts_are_rejected(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(a=torch.zeros(1000)), path)
    rewrite(path, lambda _, content: content, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match='compressed'):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    ('before', 'message'),
    [
        # PyTorch goes by the first bytes, zipfile by the last.
        (
            b'cbuiltins\nbytearray\nJ\xff\xff\xff\x70\x85R.',
            'refers to bytearray',
        ),
        (b'PK\3\4', 'more than one archive'),
        (None, 'more than one archive'),
    ],
)
def test_what_stands_before_an_archive_is_not_left_out(
    tmp_path, before, message
):
    path = tmp_path / 'a.pth'
    torch.save(dict(a=torch.zeros(1)), path)
    content = path.read_bytes()
    path.write_bytes((content if before is None else before) + content)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(str(path))


def test_every_changed_byte_of_a_tensor_is_noticed(tmp_path):
    path = tmp_path / 'a.pth'
    weights = torch.arange(100.0)
    torch.save(dict(a=weights), path)
    content = bytearray(path.read_bytes())
    content[content.index(weights.numpy().tobytes()) + 7] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)['a'][1] != 1  # unnoticed
    with pytest.raises(ValueError, match='checksum'):
        read_checkpoint(str(path))


def test_deep_data_is_rejected(tmp_path):
    value = []
    for _ in range(200):
        value = [value]
    torch.save(dict(state_dict=dict(a=torch.ones(1)), x=value), tmp_path / 'a')
    with pytest.raises(ValueError, match='deeper'):
        read_checkpoint(str(tmp_path / 'a'))


def test_data_that_holds_itself_is_rejected(tmp_path):
    value = []
    value.append(value)
    torch.save(dict(state_dict=dict(a=torch.ones(1)), x=value), tmp_path / 'a')
    with pytest.raises(ValueError, match='deeper'):
        read_checkpoint(str(tmp_path / 'a'))


def test_a_text_that_breaks_off_takes_no_memory(tmp_path):
    path = tmp_path / 'forged.pth'
    path.write_bytes(b'\x80\x02X\xff\xff\xff\x7fshort')
    tracemalloc.start()
    with pytest.raises(ValueError, match='forged.pth cannot be read'):
        read_checkpoint(str(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_forged_offset_names_the_file(tmp_path):
    path = tmp_path / 'forged.pth'
    torch.save(dict(state_dict=dict(x=torch.zeros(2))), path)
    content = bytearray(path.read_bytes())
    # The first entry of the directory says where its part begins.
    start = content.index(b'PK\x01\x02')
    content[start + 42 : start + 46] = b'\x00\x00\x00\x80'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='forged.pth cannot be read'):
        read_checkpoint(str(path))


def test_a_long_message_of_safetensors_is_cut(tmp_path):
    path = tmp_path / 'forged.safetensors'
    header = json.dumps({'x' * 9999: dict(dtype='F' * 9999)}).encode()
    path.write_bytes(len(header).to_bytes(8, 'little') + header)
    with pytest.raises(ValueError, match='as safetensors') as caught:
        read_checkpoint(str(path))
    assert len(str(caught.value)) < 1000
