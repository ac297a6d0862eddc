"""Servers that a stranger may run: whole files, or one sentence."""

import socket
import threading
from contextlib import contextmanager

import pytest

from mmdit.downloads import check_content, download, is_url, read_url

WHOLE = bytes(range(256)) * 8


@contextmanager
def server(*answers):
    """Answer each connection by the next bytes; a number is a pause."""
    listener = socket.create_server(('127.0.0.1', 0))
    asked = []
    stop = threading.Event()

    def serve():
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65536))
                for part in answer:
                    if isinstance(part, bytes):
                        connection.sendall(part)
                    elif stop.wait(part):
                        return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{listener.getsockname()[1]}', asked
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
    ('answer', 'message'),
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
def test_half_a_file_is_none(tmp_path, answer, message):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'before')
    with server(answer) as (url, _):
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
    for answer in ([ok(b'', 10**12)], [endless]):
        with (
            server(answer) as (url, _),
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
    with server([ok(WHOLE), WHOLE]) as (url, asked):
        read_url(f'{url}/gr\xf6\xdfe 1%20.png?q=\xe9#top'.upper(), 10**6)
    assert asked[0].startswith(b'GET /GR%C3%96SSE%201%20.PNG?Q=%C3%89 HTTP')


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
