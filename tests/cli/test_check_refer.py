"""``mmdit check-data`` of folders."""

import json
import pickle
import re
import shutil
import sys

import pytest
from forked import fork, run_python, wait

SIZES = {100: '60x40', 101: '60x40', 102: '30x50', 103: '30x50'}


@pytest.fixture
def check(mmdit, monkeypatch):
    """Call the command; return its status and what it says."""
    monkeypatch.setenv('COLUMNS', '80')

    def check(*args):
        result = mmdit('check-data', *args)
        return result.returncode, result.stdout + result.stderr

    return check


def edit_instances(root, change):
    path = root / 'refcoco' / 'instances.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rows(said):
    """Return the table rows by their first word."""
    lines = [line.split() for line in said.splitlines()]
    return {line[0]: line[1:] for line in lines if line}


def test_a_usable_set_is_counted_beside_the_public_numbers(check, tiny_refer):
    status, said = check(tiny_refer, '--workers', 1)
    assert status == 0
    assert rows(said)['train'][:2] == ['4', '42,404']
    assert rows(said)['testA'][:2] == ['0', '1,975']
    assert rows(said)['all'][:4] == ['6', '50,000', '10', '142,210']
    assert said.splitlines()[-1] == (
        'refcoco (unc): usable, not the full set (6 of 50,000 refs); but '
        'images in train and another split (2)'
    )


def test_a_pipe_gets_plain_lines(tiny_refer, tmp_path):
    log, errors = tmp_path / 'log', tmp_path / 'errors'

    def check():
        with errors.open('w') as sys.stderr:
            return run_python(['-m', 'mmdit', 'check-data', str(tiny_refer)])

    assert wait(fork(check, tmp_path, log)) == 0
    said = log.read_text()
    assert errors.read_text() == ''
    assert '\x1b' not in said
    table = [x for x in said.splitlines() if ' 142,210 ' in x]
    assert len(table) == 1 and len(table[0]) <= 80


def test_examples_are_cut_and_the_report_is_not(check, tiny_refer, tmp_path):
    def empty_all(content):
        for annotation in content['annotations']:
            annotation['segmentation'] = []

    edit_instances(tiny_refer, empty_all)
    path = tmp_path / 'new' / 'report.json'
    args = '--examples', 1, '--report', path
    status, said = check(tiny_refer, *args)
    assert status == 1
    assert 'broken: empty masks (4)' in said
    assert '... and 3 more' in said
    assert 'refcoco (unc): BROKEN: empty masks (4)' in said
    (written,) = json.loads(path.read_text())['sets']
    assert written['broken'] is True
    assert written['problems']['empty masks'] == [
        f'ann_id {ann_id}: 0 of {size} pixels'
        for ann_id, size in SIZES.items()
    ]
    assert written['counts']['all']['refs'] == 6


def test_what_is_broken_can_be_skipped(check, tiny_refer):
    for path in (tiny_refer / 'images' / 'train2014').iterdir():
        path.unlink()
    status, said = check(tiny_refer)
    assert status == 1
    assert (
        'missing images (2): correct the name, or the folder of images' in said
    )
    status, said = check(tiny_refer, '--skip-images', '--skip-masks')
    assert status == 0
    assert 'images and masks not checked' in said


def test_one_broken_set_leaves_the_others_checked(check, tiny_refer):
    folder = tiny_refer / 'refcocog'
    folder.mkdir()
    (folder / 'instances.json').write_text('{')
    (folder / 'refs(umd).p').write_bytes(pickle.dumps([]))
    status, said = check(tiny_refer)
    assert status == 1
    assert 'refcoco (unc): usable' in said
    assert 'refcocog (umd): BROKEN: unreadable files (1)' in said
    assert 'is not complete JSON' in said
    assert check(tiny_refer, '--dataset', 'refcoco')[0] == 0


def test_leaks_are_shown(check, tiny_refer):
    shutil.copytree(tiny_refer / 'refcoco', tiny_refer / 'refcoco+')
    _, said = check(tiny_refer, '--skip-images', '--skip-masks')
    assert re.search(r'refcoco \(unc\) +refcoco\+ \(unc\) +2 +2\b', said)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['nowhere'], 'nowhere is not a folder'),
        (['images'], 'images holds no data set: expected refcoco,'),
        (['refcoco'], 'it is one itself, so name'),
        (['.', '--split-by', 'umd'], 'split by umd'),
        (['.', '--images', 'nowhere'], '--images nowhere is not a folder'),
        (['.', '--workers', '0'], '--workers is 0, expected 1 or up'),
        (['.', '--dataset', 'coco'], '--dataset coco: . holds refcoco'),
    ],
)
def test_wrong_arguments_are_explained(
    check, tiny_refer, monkeypatch, args, message
):
    monkeypatch.chdir(tiny_refer)
    status, said = check(*args)
    assert status == 2
    assert message in said


def test_real_data_is_usable(check, refer_mini):
    status, said = check(refer_mini)
    assert status == 0
    assert (
        'refcoco (unc): usable, not the full set (24 of 50,000 refs)\n'
        'refcocog (google): usable, not the full set (8 of 49,822 refs)\n'
    ) in said
