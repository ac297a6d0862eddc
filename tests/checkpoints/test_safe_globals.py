"""Pickles with plain data load; pickles with code are rejected."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save_file
from torch import nn


class Spy:
    """Something whose unpickling runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def write_evil(path):
    """Write a checkpoint that creates a file when it is unpickled."""
    witness = path.with_name('witness')
    weights = {'image_encoder.pos_embed': torch.zeros(1)}
    torch.save(dict(state_dict=weights, meta=Spy(witness)), path)
    return witness


def test_history_and_numpy_values_load(safe, tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    extra = dict(
        history=history,
        scalar=np.float32(0.5),
        array=np.arange(3),
        flag=np.bool_(True),
    )
    weights = dict(weight=torch.ones(2))
    torch.save(dict(state_dict=weights, **extra), tmp_path / 'a.pth')
    before = torch.serialization.get_safe_globals()
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'), 'cpu')
    assert set(torch.serialization.get_safe_globals()) == set(before)
    assert loaded['history'].mean() == 1.5
    assert loaded['history'].statistics('max') == 2
    assert loaded['scalar'] == 0.5 and loaded['flag']
    assert loaded['array'].tolist() == [0, 1, 2]


def test_history_written_with_the_other_numpy_loads(safe, tmp_path):
    """Numpy 2 renamed the module that its pickles refer to."""
    here = np.zeros(1).__reduce__()[0].__module__.split('.')[1]
    there = dict(_core='core', core='_core')[here]
    torch.save(
        dict(state_dict=dict(a=torch.ones(1)), array=np.arange(3)),
        tmp_path / 'a.pth',
        _use_new_zipfile_serialization=False,
    )
    content = (tmp_path / 'a.pth').read_bytes()
    old, new = (f'numpy.{x}.multiarray'.encode() for x in (here, there))
    assert old in content
    (tmp_path / 'a.pth').write_bytes(content.replace(old, new))
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'), 'cpu')
    assert loaded['array'].tolist() == [0, 1, 2]


@pytest.mark.parametrize('form', ['zip', 'legacy'])
def test_a_pickle_with_code_is_rejected_by_name(safe, tmp_path, form):
    path = tmp_path / 'untrusted.pth'
    witness = write_evil(path)
    if form == 'legacy':
        evil = dict(state_dict={}, meta=Spy(witness))
        torch.save(evil, path, _use_new_zipfile_serialization=False)
    with pytest.raises(
        ValueError, match=r'untrusted\.pth is rejected: .*open'
    ):
        load_checkpoint(nn.Linear(1, 1), str(path))
    assert not witness.exists()
    torch.load(path, weights_only=False)
    assert witness.exists()  # so there was something to reject


class Caller:
    """A pickle that reaches for an attribute of something admitted."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


@pytest.mark.parametrize(
    ('owner', 'name'),
    [(HistoryBuffer, '__init__'), (np.ndarray, 'tofile')],
)
def test_attributes_are_those_of_a_history_only(safe, tmp_path, owner, name):
    path = tmp_path / 'attribute.pth'
    weights = dict(a=torch.zeros(1))
    torch.save(dict(state_dict=weights, x=Caller(owner, name)), path)
    with pytest.raises(ValueError, match='rejected: .*getattr'):
        load_checkpoint(nn.Linear(1, 1), str(path))


@pytest.mark.parametrize('name', ['sam.pth', 'sam.safetensors'])
@pytest.mark.parametrize('share', [0.0, 0.2, 0.9])
def test_a_truncated_file_is_said_to_be_one(safe, sam, tmp_path, name, share):
    path = tmp_path / name
    if path.suffix == '.pth':
        torch.save(sam.state_dict(), path)
    else:
        save_file(sam.state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=f'{name} cannot be read .*incompl'):
        load_checkpoint(nn.Linear(1, 1), str(path))


@pytest.mark.parametrize('name', ['page.pth', 'page.safetensors'])
def test_another_kind_of_file_is_said_to_be_one(safe, tmp_path, name):
    (tmp_path / name).write_text('<html>Not found</html>')
    with pytest.raises(ValueError, match=f'{name} cannot be read'):
        load_checkpoint(nn.Linear(1, 1), str(tmp_path / name))


@pytest.mark.parametrize(
    ('content', 'match'),
    [
        (dict(model=dict(a=torch.zeros(1))), "dict at 'model'"),
        ([torch.zeros(1)], 'holds list'),
        (dict(state_dict={}), 'tensors by name'),
        (dict(state_dict=dict(a=3)), "int at 'a'"),
    ],
)
def test_files_without_a_state_dict_are_rejected(
    safe, tmp_path, content, match
):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=match):
        load_checkpoint(nn.Linear(1, 1), str(tmp_path / 'a.pth'))
