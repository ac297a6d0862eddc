"""The private folder of a run."""

import os
import re
import signal
import tempfile
import time

import httpx
import pytest
from forked import LIMIT, fork, wait

from mmdit.cli.web import main
from mmdit.web.folder import PREFIX, RunFolder, remove_stale, run_folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where folders of runs are made."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    return tmp_path


def test_a_run_leaves_nothing(temporary):
    with run_folder() as folder:
        (folder.new() / 'a').write_bytes(b'0')
        assert folder.path.stat().st_mode & 0o777 == 0o700
        # It lives: another start does not touch it.
        remove_stale()
        assert folder.num_bytes() >= 1
    assert list(temporary.iterdir()) == []


def test_what_a_killed_run_left_goes_at_the_next_start(temporary):
    RunFolder(tempfile.mkdtemp(prefix=PREFIX)).new().joinpath('a').touch()
    kept = temporary / 'other'
    kept.mkdir()
    kept.joinpath('file').touch()
    (temporary / f'{PREFIX}link').symlink_to(kept)
    (temporary / f'{PREFIX}file').touch()
    with run_folder() as folder:
        assert len(list(temporary.glob(f'{PREFIX}*'))) == 3
        assert kept.joinpath('file').exists() and folder.path.is_dir()


def test_old_files_are_swept(tmp_path):
    folder = RunFolder(tmp_path)
    old, new = folder.new(), folder.new()
    os.utime(old, (1, 1))
    folder.sweep()
    assert not old.exists() and new.exists()


def test_only_regular_files_within_are_found(tmp_path):
    folder = RunFolder(tmp_path)
    inside = folder.new() / 'a'
    inside.touch()
    os.mkfifo(inside.with_name('pipe'))
    inside.with_name('loop').symlink_to(inside.with_name('loop'))
    assert folder.find_upload(str(inside)) == inside
    for name in ('pipe', 'loop', '../../../etc/passwd', 'absent', '.'):
        assert folder.find(str(inside.parent / name)) is None
    for name in (None, 5, b'a', [], 'a\0', str(tmp_path)):
        assert folder.find(name) is None


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_page_leaves_nothing(tmp_path, number):
    pytest.importorskip('gradio', reason='gradio is absent')
    log = tmp_path / 'log'
    log.touch()

    def serve():
        tempfile.tempdir = None
        return main([])

    process = fork(serve, tmp_path, log, dict(TMPDIR=str(tmp_path)))
    try:
        end = time.monotonic() + LIMIT
        while not (found := re.search(r'http://\S+', log.read_text())):
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        upload = f'{found[0].rstrip("/")}/gradio_api/upload'
        response = httpx.post(upload, files=dict(files=('a.png', b'0')))
        (path,) = response.json()
        (run,) = tmp_path.glob(f'{PREFIX}*')
        assert run.stat().st_mode & 0o777 == 0o700
        assert os.stat(path).st_mode & 0o777 == 0o600
    finally:
        os.kill(process, number)
        status = wait(process)
    assert status == 0, log.read_text()
    assert not list(tmp_path.glob(f'{PREFIX}*'))
