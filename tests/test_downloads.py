"""Untrusted servers: whole files, or one sentence."""

import re
import socket
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from serving import serve

from mmdit import downloads
from mmdit.downloads import check_content, download, is_url, read_url
from mmdit.parts import open_part

WHOLE = bytes(range(256)) * 8


@contextmanager
def server(*responses):
    """Answer each connection by the next bytes; a number is a pause."""
    listener = socket.create_server(('127.0.0.1', 0))
    requests = []
    stop = threading.Event()

    def serve():
        for response in responses:
            connection, _ = listener.accept()
            with connection:
                requests.append(connection.recv(65536))
                for part in response:
                    if isinstance(part, bytes):
                        connection.sendall(part)
                    elif stop.wait(part):
                        return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{listener.getsockname()[1]}', requests
    finally:
        stop.set()
        listener.close()
        thread.join(5)


def ok(content, size=None):
    size = len(content) if size is None else size
    return f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n'.encode()


def test_a_file_arrives_whole_and_says_how_far_it_is(tmp_path):
    path, seen = tmp_path / 'new' / 'a.bin', []
    with server([ok(WHOLE), WHOLE]) as (url, _):
        download(
            f'{url}/a.bin', path, on_progress=lambda *how: seen.append(how)
        )
    assert path.read_bytes() == WHOLE
    assert seen[-1] == (len(WHOLE), len(WHOLE))
    assert [p.name for p in path.parent.iterdir()] == ['a.bin']


@pytest.mark.parametrize(
    ('response', 'message'),
    [
        ([ok(WHOLE), WHOLE[:99]], 'ended after 99 of 2048 bytes'),
        (
            [b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab'],
            'cannot be fetched',
        ),
        ([ok(WHOLE), WHOLE[:99], 5], 'timed out'),
        ([5], 'timed out'),
        ([b'SSH-2.0-OpenSSH_9\r\n'], 'SSH-2.0'),
        ([b'HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n'], 'many'),
        ([b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'], '404'),
        ([], 'cannot be fetched'),
    ],
)
def test_half_a_file_is_none(tmp_path, response, message):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'before')
    with server(response) as (url, _):
        with pytest.raises(OSError, match=message) as error:
            download(f'{url}/a.bin', path, timeout=0.5)
        assert str(error.value).startswith(f'{url}/a.bin cannot be fetched')
    assert path.read_bytes() == b'before'
    assert [p.name for p in tmp_path.iterdir()] == ['a.bin']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'\n<!DOCTYPE html><html>Log in', 'is a web page'),
        (b'\xef\xbb\xbf<HTML lang="en">', 'is a web page'),
        (
            b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n',
            'is a pointer of git-LFS',
        ),
    ],
)
def test_what_stands_for_a_file_is_named(tmp_path, content, message):
    path = tmp_path / 'a.pth'
    with (
        server([ok(content), content]) as (url, _),
        pytest.raises(ValueError, match=message),
    ):
        download(f'{url}/a.pth', path)
    assert not list(tmp_path.iterdir())
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        check_content('a.pth', path)


def test_content_is_bounded_in_bytes_and_time():
    with server([ok(WHOLE), WHOLE]) as (url, _):
        assert read_url(url, len(WHOLE)) == WHOLE
    endless = b'HTTP/1.1 200 OK\r\n\r\n' + WHOLE
    for response in ([ok(b'', 10**12)], [endless]):
        with (
            server(response) as (url, _),
            pytest.raises(OSError, match='more than 0.001 MB'),
        ):
            read_url(url, 1000)
    drips = [ok(b'', 100), *[b'x', 0.1] * 20]
    with (
        server(drips) as (url, _),
        pytest.raises(OSError, match='not complete after 0.5 s'),
    ):
        read_url(url, 1000, deadline=0.5)


def test_characters_beyond_ascii_are_quoted_once():
    with server([ok(WHOLE), WHOLE]) as (url, requests):
        read_url(f'{url}/gr\xf6\xdfe 1%20.png?q=\xe9#top'.upper(), 10**6)
    assert requests[0].startswith(b'GET /GR%C3%96SSE%201%20.PNG?Q=%C3%89 HTTP')


@pytest.mark.parametrize(
    'url',
    [
        'http://[::1',
        'http://127.0.0.1:port/a',
        'http://' + 'a' * 70 + '\xe9.example/',
        'http://',
        'http://127.0.0.1:1/\x00 a\nb',
        'file:///etc/passwd',
        'ftp://127.0.0.1/a',
    ],
)
def test_broken_urls_are_one_sentence(url):
    with pytest.raises(OSError, match='cannot be fetched'):
        read_url(url, 10, timeout=1)


def test_urls_are_told_from_paths():
    assert is_url('HTTP://a') and is_url('https://a')
    assert not is_url('httpd/a') and not is_url('ftp://a')


@contextmanager
def ranges(content, *limits, version='"1"'):
    """Serve parts, as Google Drive does; break off after some bytes.

    Args:
        content: The file.
        limits: How many bytes the first connections bring.
        version: The ETag.
    """
    left, requests = list(limits), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.headers.get('Range'))
            start = 0
            if requests[-1] and self.headers['If-Range'] == version:
                start = int(re.fullmatch(r'bytes=(\d+)-', requests[-1])[1])
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                end = len(content)
                told = f'bytes {start}-{end - 1}/{end}'
                self.send_header('Content-Range', told)
            self.send_header('Content-Length', str(len(content) - start))
            self.send_header('ETag', version)
            self.end_headers()
            end = start + left.pop(0) if left else len(content)
            self.wfile.write(content[start:end])

        def log_message(self, *_):
            """Say nothing."""

    with serve(Handler) as url:
        yield f'{url}/a.pth', requests


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(downloads, 'PAUSE', 0)


def test_two_broken_connections_are_taken_up_again(fast, tmp_path):
    path, seen = tmp_path / 'a.pth', []
    with ranges(WHOLE, 700, 800) as (url, requests):
        download(url, path, on_progress=lambda *how: seen.append(how))
    assert requests == [None, 'bytes=700-', 'bytes=1500-']
    assert path.read_bytes() == WHOLE
    assert seen[-1] == (len(WHOLE), len(WHOLE))
    assert [p.name for p in tmp_path.iterdir()] == ['a.pth']


class Killed(Exception):
    pass


def kill_at(number):
    def on_progress(done, size):
        if done >= number:
            raise Killed

    return on_progress


def test_two_killed_calls_are_taken_up_again(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, 'CHUNK', 100)
    path = tmp_path / 'a.pth'
    with ranges(WHOLE) as (url, requests):
        for number in (700, 1500):
            with pytest.raises(Killed):
                download(url, path, on_progress=kill_at(number))
            assert not path.exists()
        download(url, path)
    assert requests == [None, 'bytes=700-', 'bytes=1500-']
    assert path.read_bytes() == WHOLE
    assert [p.name for p in tmp_path.iterdir()] == ['a.pth']


@pytest.mark.parametrize('place', [700, len(WHOLE)])
def test_a_part_of_another_file_is_not_used(fast, tmp_path, place):
    path = tmp_path / 'a.pth'
    with ranges(WHOLE) as (url, requests):
        with pytest.raises(Killed):
            download(url, path, on_progress=kill_at(1))
        part = tmp_path / '.a.pth.part'
        part.write_bytes(bytes(place))
        note = tmp_path / '.a.pth.part.of'
        note.write_text(note.read_text().replace('"1"', '"0"'))
        if place == len(WHOLE):
            # A call that was killed when all was there, of this version.
            note.write_text(note.read_text().replace('"0"', '"1"'))
        download(url, path)
        assert path.read_bytes() == WHOLE
        # Another place in the network, of which nothing is known.
        part.write_bytes(b'x')
        note.write_text(f'{url}?other\n"1"')
        download(url, path)
    assert path.read_bytes() == WHOLE and requests[-1] is None


def test_a_server_that_stays_away_is_given_up(fast, tmp_path):
    path = tmp_path / 'a.pth'
    with ranges(WHOLE, 700, 0, 0, 0) as (url, requests):
        with pytest.raises(OSError, match='ended after 0 of 1348 bytes'):
            download(url, path)
        assert requests == [None, *['bytes=700-'] * 3]
        download(url, path)
    assert path.read_bytes() == WHOLE


def test_two_processes_do_not_write_into_one_part(tmp_path):
    path = tmp_path / 'a.pth'
    with ranges(WHOLE) as (url, _), open_part(path) as other:
        other.file.write(b'half')
        other.begin(url, '"1"')
        download(url, path)
        assert path.read_bytes() == WHOLE and other.path.is_file()


def test_a_file_of_google_drive_is_fetched_by_gdown(tmp_path, monkeypatch):
    pytest.importorskip(
        'gdown', reason='gdown, of mmdit-seg[gdown], is absent'
    )
    path, seen = tmp_path / 'a.pth', []
    with ranges(WHOLE, 700, 800) as (url, requests):
        monkeypatch.setattr(downloads, '_is_drive', lambda _: True)
        download(url, path, on_progress=lambda *how: seen.append(how))
    assert len(requests) == 3 and path.read_bytes() == WHOLE
    assert seen[-1] == (len(WHOLE), len(WHOLE))
    assert [p.name for p in tmp_path.iterdir()] == ['a.pth']


def test_without_gdown_the_cure_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gdown', None)
    url = 'https://drive.google.com/file/d/1T3jYiR9BLDJxv/view'
    with pytest.raises(ImportError, match=r'pip install mmdit-seg\[gdown\]'):
        download(url, tmp_path / 'a.pth')
    assert not list(tmp_path.iterdir())
