"""URLs, of servers that behave and of servers that do not."""

import time
from functools import partial
from http.server import BaseHTTPRequestHandler
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from serving import serve

from mmdit import downloads
from mmdit.apis import read_image
from mmdit.runtime import images


def encoded():
    file = BytesIO()
    Image.new('RGB', (4, 3), 'red').save(file, 'PNG')
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def begin(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()

    def do_GET(self):
        name = self.path.strip('/').split('?')[0]
        content = encoded()
        if name == 'moved':
            self.begin(302, Location='/image.png')
        elif name == 'local':
            self.begin(302, Location='file:///etc/passwd')
        elif name == 'silent':
            time.sleep(3)
        elif name == 'slow':
            self.begin()
            for _ in range(30):
                self.wfile.write(b'x')
                self.wfile.flush()
                time.sleep(0.1)
        elif name == 'endless':
            self.begin()
            for _ in range(200):
                self.wfile.write(bytes(1 << 20))
        elif name == 'cut':
            self.begin(Content_Length=str(len(content) + 9))
            self.wfile.write(content)
        elif name in ('image.png', '%C3%A9%20t%C3%A9.png'):
            self.begin()
            self.wfile.write(content)
        else:
            self.begin(404)


@pytest.fixture(scope='module')
def server():
    with serve(Handler) as url:
        yield url.removeprefix('http://')


@pytest.mark.parametrize(
    'url',
    [
        'http://{}/image.png',
        'HTTP://{}/image.png?size=big one&x=é#top',
        'http://{}/é té.png',
        'http://{}/%C3%A9%20t%C3%A9.png',
        'http://{}/moved',
    ],
)
def test_an_address_is_read_as_people_write_it(server, url):
    assert read_image(url.format(server)).shape == (3, 4, 3)


@pytest.mark.parametrize(
    ('url', 'message'),
    [
        ('http://{}/nothing', '404'),
        ('http://{}/local', 'file:///etc/passwd'),
        ('http://{}/silent', 'timed out'),
        ('http://{}/slow', 'not complete after 0.5 seconds'),
        ('http://{}/endless', 'more than 16.7773 MB'),
        ('http://{}/cut', 'try again'),
        ('http://', 'no host'),
        ('http://127.0.0.1:port/x.png', 'port'),
        ('http://127.0.0.1:99999/x.png', ''),
        ('http://[/x.png', ''),
        ('http://a..b/x.png', ''),
        ('http://' + 'é' * 80 + '.invalid/x.png', ''),
        ('http://127.0.0.1/\x00\n.png', ''),
        ('nothing://x.png', ''),
        ('file://machine/x.png', 'three slashes'),
    ],
)
def test_other_addresses_cost_a_sentence(server, url, message, monkeypatch):
    defaults = dict(timeout=0.4, deadline=0.5)
    monkeypatch.setattr(
        images, 'read_url', partial(downloads.read_url, **defaults)
    )
    url = url.format(server)
    with pytest.raises(ValueError, match='cannot be read') as caught:
        read_image(url, max_pixels=10)
    assert url in str(caught.value) and message in str(caught.value)


def test_a_file_url_is_a_file(tmp_path):
    path = tmp_path / 'é 1#.png'
    path.write_bytes(encoded())
    expected = read_image(path)
    assert np.array_equal(read_image(path.as_uri()), expected)
    upper = path.as_uri().replace('file:', 'FILE:')
    assert np.array_equal(read_image(upper), expected)


def test_a_file_without_end_is_left(tmp_path):
    with pytest.raises(ValueError, match='/dev/zero.*more than 16.7773 MB'):
        read_image('/dev/zero', max_pixels=10)
