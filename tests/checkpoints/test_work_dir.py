"""Folders of training: the furthest checkpoint that can be read is used."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger

from mmdit.checkpoints.files import read_checkpoint
from mmdit.checkpoints.work_dir import find_checkpoint, list_checkpoints


@pytest.fixture
def warned():
    """What has been warned about."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger, keep = MMLogger.get_current_instance(), Keep(logging.WARNING)
    logger.addHandler(keep)
    yield lines
    logger.removeHandler(keep)


@pytest.fixture
def run(tmp_path):
    """A folder with three checkpoints, whose weights are their number."""
    folder = tmp_path / 'run'
    folder.mkdir()
    for step in (2, 4, 10):
        save(folder, f'iter_{step}.pth', step)
    save(folder, 'best_mIoU_iter_20.pth', 20)
    (folder / 'last_checkpoint').write_text('iter_10.pth')
    return folder


def save(folder, name, value):
    weights = torch.full((1000,), float(value))
    torch.save(dict(state_dict=dict(a=weights)), folder / name)


def number(folder):
    return int(read_checkpoint(str(folder))['state_dict']['a'][0])


def test_the_last_checkpoint_is_read(run, warned):
    assert number(run) == 10 and not warned


def truncate(path):
    path.write_bytes(path.read_bytes()[:-300])


def change_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (truncate, 'incomplete'),
        (change_a_byte, 'checksum'),
        (lambda path: path.write_bytes(b''), 'empty'),
        (lambda path: path.unlink(), 'missing'),
    ],
    ids=['truncated', 'changed', 'empty', 'missing'],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    run, warned, damage, reason
):
    damage(run / 'iter_10.pth')
    assert number(run) == 4
    assert 'iter_10.pth' in warned[0] and reason in warned[0]
    assert 'iter_4.pth is used' in warned[0]


def test_a_file_that_last_checkpoint_does_not_name_yet_is_used(run, warned):
    save(run, 'iter_12.pth', 12)
    assert number(run) == 12
    assert 'names iter_10.pth' in warned[0] and 'iter_12.pth' in warned[0]


@pytest.mark.parametrize('text', ['', '\n', '\0', None])
def test_last_checkpoint_may_say_nothing(run, text):
    last = run / 'last_checkpoint'
    last.unlink() if text is None else last.write_text(text)
    assert number(run) == 10


def test_a_moved_folder_is_read_where_it_is(run):
    (run / 'last_checkpoint').write_text('/elsewhere/run/iter_10.pth')
    assert find_checkpoint(run) == run / 'iter_10.pth'
    moved = run.rename(run.with_name('moved'))
    assert number(moved) == 10


def test_checkpoints_elsewhere_are_found_by_the_path_that_names_them(
    run, tmp_path
):
    other = tmp_path / 'other'
    other.mkdir()
    save(other, 'iter_30.pth', 30)
    (run / 'last_checkpoint').write_text('../other/iter_30.pth')
    assert number(run) == 30


def test_where_all_are_damaged_each_is_named(run):
    for path in run.glob('iter_*'):
        truncate(path)
    with pytest.raises(ValueError, match=r'iter_10.*iter_4.*iter_2'):
        find_checkpoint(run)


def test_a_folder_without_checkpoints_is_an_error_of_the_reader(tmp_path):
    assert find_checkpoint(tmp_path) is None
    with pytest.raises(FileNotFoundError, match='no checkpoint of training'):
        read_checkpoint(str(tmp_path))


def test_positions_within_an_epoch_are_in_order(tmp_path):
    names = ['epoch_1.pth', 'epoch_2_iter_57.pth', 'epoch_2.pth']
    names += ['epoch_10.pth', 'epoch_2_iter_100.pth']
    for name in names:
        (tmp_path / name).touch()
    found = [path.name for path in list_checkpoints(tmp_path)]
    assert found == [
        'epoch_10.pth',
        'epoch_2_iter_100.pth',
        'epoch_2_iter_57.pth',
        'epoch_2.pth',
        'epoch_1.pth',
    ]
