"""What visitors of bad will try, through real requests."""

import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from PIL import Image
from serving import serve
from web_visitor import Visitor

from mmdit.runtime.wording import Wording

NOTHING = 'No file arrived: drop it again.'


class Constant:
    """A model that finds everything everywhere, whatever is shown."""

    threshold = 0.5
    max_pixels = 1_000_000
    wording = Wording(None, 0)

    def __init__(self):
        self.model = SimpleNamespace(
            train_points=True,
            text_encoder=object(),
            restore=lambda logits, sample: torch.zeros(1, *sample.ori_shape),
        )

    def __call__(self, pixels, expressions, **kwargs):
        if 'break' in expressions:
            raise RuntimeError('secret inner state')
        size = pixels.shape[:2]
        samples = []
        for _ in expressions:
            sample = SegDataSample(metainfo=dict(ori_shape=size))
            sample.seg_logits = PixelData(data=torch.full((1, *size), 0.6))
            sample.pred_sem_seg = PixelData(data=torch.ones(1, *size))
            sample.pred_masks = InstanceData(
                masks=torch.ones(3, *size, dtype=torch.bool),
                scores=torch.tensor([0.7, 0.9, 0.8]),
                low_res_masks=torch.zeros(3, 8, 8),
            )
            samples.append(sample)
        return dict(predictions=samples)


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    """Address and folder of a page, one for all attacks."""
    root = tmp_path_factory.mktemp('run')
    patch = pytest.MonkeyPatch()
    patch.setenv('GRADIO_ANALYTICS_ENABLED', 'False')
    # Not before: other processes than this have no use for it.
    pytest.importorskip('gradio', reason='gradio is absent')
    patch.setenv('GRADIO_TEMP_DIR', str(root))
    from mmdit.web.folder import RunFolder
    from mmdit.web.page import build_page
    from mmdit.web.serving import serve
    from mmdit.web.store import SessionStore

    folder = RunFolder(root)
    page = build_page(Constant(), 'a constant', SessionStore(), folder)
    address = serve(page, folder, other_hosts=['proxy.example'], quiet=True)
    address = address.rstrip('/')
    yield SimpleNamespace(address=address, folder=folder, page=page)
    page.close()
    patch.undo()


@pytest.fixture
def visitor(served):
    visitor = Visitor(served.address)
    yield visitor
    visitor.close()


@pytest.fixture(scope='module')
def secret(tmp_path_factory):
    """An image of the server that is nobody's business."""
    path = tmp_path_factory.mktemp('private') / 'secret.png'
    Image.new('RGB', (37, 23), 'red').save(path)
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / 'photo.png'
    Image.new('RGB', (60, 40), 'blue').save(path)
    return path


@pytest.fixture
def other_server():
    """A server within the network, and the requests that reached it."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_response(404)
            self.end_headers()

        log_message = do_HEAD = lambda *_: None

    with serve(Handler) as url:
        yield f'{url}/inner.png', seen


def files_of(secret, served, tmp_path):
    """Return names of files of the server, in all ways to write them."""
    link = served.folder.path / 'link.png'
    link.unlink(missing_ok=True)
    link.symlink_to(secret)
    return [
        str(secret),
        f'file://{secret}',
        f'{served.folder.path}/../{secret.parent.name}/{secret.name}',
        str(link),
        str(served.folder.path),
        '/dev/zero',
        '/proc/self/environ',
        '/etc/passwd',
        str(tmp_path / 'absent.png'),
        'pyproject.toml',
        'a\0b',
        '',
        'x' * 5000,
    ]


def test_no_file_of_the_server_is_opened_or_told_of(
    visitor, served, secret, tmp_path
):
    meta = dict(_type='gradio.FileData')
    for name in files_of(secret, served, tmp_path):
        for more in ({}, dict(meta=meta), dict(meta=meta, url=name)):
            file = dict(path=name, orig_name='a.png') | more
            output = visitor.do(visitor.find('upload'), [file, None])
            assert output['error'] == NOTHING, (name, more)


def test_no_file_of_the_server_is_served(visitor, served, secret, tmp_path):
    details = {
        visitor.web.get(f'/gradio_api/file={name}').text
        for name in files_of(secret, served, tmp_path)
        if '\0' not in name
    }
    assert len(details) == 1 and 'There is nothing here' in details.pop()


def test_no_address_is_fetched(visitor, other_server):
    url, seen = other_server
    meta = dict(_type='gradio.FileData')
    # For the image, and wherever else Gradio looks for files.
    for kind in ('upload', 'clear', 'select', 'submit', 'input', 'change'):
        for file in (
            dict(path=url, orig_name='a.png'),
            dict(path=url, url=url, meta=meta),
            dict(path='a.png', url=url, meta=meta),
            url,
        ):
            event = visitor.find(kind)
            fn = visitor.web.get('/config').json()['dependencies'][event]
            data = [file] * len(fn['inputs'])
            select = dict(index=0, value=file)
            output = visitor.do(event, data, event_data=select)
            # Neither in times nor in a port.
            said = json.dumps([output.get('data'), output.get('error')])
            assert '404' not in said.replace(url, '')
    for path in (f'file={url}', f'proxy={url}', f'file/{url}'):
        assert visitor.web.get(f'/gradio_api/{path}').status_code == 404
    assert seen == []


FORGED = [
    'x',
    -1,
    10**30,
    1e308,
    True,
    None,
    {},
    {'path': '/etc/passwd'},
    {'path': ['/etc/passwd'], 'orig_name': {}},
    {'__type__': 'update', 'value': 1},
    [1, [2]],
    'y' * 30_000,
    '\ud800',
]


def test_forged_values_get_a_sentence_from_every_event(visitor, served):
    config = visitor.web.get('/config').json()
    for event in config['dependencies']:
        for value in FORGED:
            body = json.dumps(
                dict(
                    fn_index=event['id'],
                    data=[value] * len(event['inputs']),
                    event_data=dict(index=value, value=value),
                    session_hash=visitor.session,
                )
            )
            response = visitor.web.post(
                '/gradio_api/queue/join',
                content=body,
                headers={'content-type': 'application/json'},
            )
            if response.status_code != 200:
                assert response.json()['detail'].endswith('.'), (event, value)
                continue
            output = visitor.result()
            assert 'data' in output or output['error'], (event, value)
            assert '/' not in str(output.get('error')).replace('/etc', '')


@pytest.mark.parametrize(
    'body',
    [
        b'',
        b'{}',
        b'null',
        b'[' * 100_000,
        b'{"a":' * 20_000,
        b'{"fn_index": 0, "data": [NaN], "session_hash": "s"}',
        b'{"fn_index": true, "data": [], "session_hash": "s"}',
        b'{"fn_index": 10000, "data": [], "session_hash": "s"}',
        b'{"fn_index": 0, "data": 5, "session_hash": "s"}',
        b'{"fn_index": 0, "data": [], "session_hash": ""}',
        b'{"fn_index": 0, "data": [], "session_hash": 5}',
        b'{"fn_index": 0, "data": [' + b'0,' * 200_000 + b'0]}',
        b'{"fn_index": ' + b'9' * 10_000 + b'}',
        b'\xff\xfe',
    ],
)
def test_what_is_no_event_is_told_so(visitor, body):
    response = visitor.web.post(
        '/gradio_api/queue/join',
        content=body,
        headers={'content-type': 'application/json'},
    )
    assert 400 <= response.status_code <= 500, response.text
    assert response.json()['detail'].endswith('.')


def test_only_what_the_page_needs_is_reached(visitor, served):
    config = visitor.web.get('/config').json()
    assert {e['api_visibility'] for e in config['dependencies']} == {'private'}
    routes = served.page.app.openapi()['paths']
    reached = {
        path
        for path, methods in routes.items()
        for method in methods
        if method != 'head'
        # Streams never end.
        and path != '/gradio_api/heartbeat/{session_hash}'
        and 'There is nothing here'
        not in visitor.web.request(method, re.sub(r'[{}]', '', path)).text
    }
    assert reached <= {
        '/',
        '/config',
        '/theme.css',
        '/favicon.ico',
        '/manifest.json',
        '/assets/{path}',
        '/static/{path}',
        '/gradio_api/app_id',
        '/gradio_api/startup-events',
        '/gradio_api/queue/data',
        '/gradio_api/queue/join',
        '/gradio_api/upload',
    }
    assert len(routes) > 60


def test_a_key_of_another_is_of_no_use(visitor, served, photo):
    visitor.open(photo)
    assert 'data' in visitor.query('red')
    thief = Visitor(served.address)
    (key,) = [
        state.state_data[number]
        for state in served.page.app.state_holder.session_data.values()
        for number in state.state_data
        if state.state_data[number]
    ][-1:]
    output = thief.do(thief.find('submit'), [key, 'red'])
    assert output['error'].startswith('There is no image yet')
    thief.close()


@pytest.mark.parametrize(
    ('host', 'status'),
    [
        ('127.0.0.1:7860', 200),
        ('localhost', 200),
        ('[::1]:80', 200),
        ('PROXY.example', 200),
        ('evil.example', 421),
        ('evil.example:7860', 421),
        ('127.0.0.1.evil.example', 421),
        ('localhost@evil.example', 421),
        ('10.0.0.1', 421),
        ('[::', 421),
        ('', 421),
    ],
)
def test_the_page_serves_its_names_only(served, host, status):
    for path in ('/', '/config', '/gradio_api/app_id', '/theme.css'):
        response = httpx.get(served.address + path, headers=dict(host=host))
        assert response.status_code == status, path
    forwarded = {'x-forwarded-host': host or 'x'}
    assert (
        httpx.get(f'{served.address}/', headers=forwarded).status_code
        == status
    )


@pytest.mark.parametrize(
    ('headers', 'status'),
    [
        ({}, 200),
        ({'sec-fetch-site': 'same-origin'}, 200),
        ({'origin': 'https://proxy.example'}, 200),
        ({'origin': 'null'}, 403),
        ({'origin': 'https://evil.example'}, 403),
        ({'origin': 'http://127.0.0.1:1'}, 403),
        ({'origin': 'http://localhost:8888'}, 403),
        ({'sec-fetch-site': 'cross-site'}, 403),
        ({'sec-fetch-site': 'same-site'}, 403),
    ],
)
def test_other_sites_neither_upload_nor_queue(served, photo, headers, status):
    visitor = Visitor(served.address)
    event = visitor.find('clear')
    visitor.web.headers.update(headers)
    assert visitor.upload(photo).status_code == status
    assert visitor.join(event, [None]).status_code == status
    visitor.close()


def test_a_file_is_there_until_it_is_read(visitor, served, photo):
    (path,) = visitor.upload(photo).json()
    stored = served.folder.find_upload(path)
    assert stored.stat().st_mode & 0o077 == 0
    file = dict(path=path, orig_name='a.png')
    assert 'data' in visitor.do(visitor.find('upload'), [file, None])
    assert 'data' in visitor.show()
    assert not stored.parents[1].exists()


def test_an_upload_has_a_limit(visitor, served, monkeypatch):
    monkeypatch.setattr('mmdit.web.uploads.MAX_BODY', 10_000)
    monkeypatch.setattr('mmdit.web.uploads.MAX_RECENT', 40_000)
    assert visitor.upload(b'0' * 20_000).status_code == 413
    for part in ({'a': b'0'}, {'files': ('', b'')}, {}):
        assert visitor.web.post('/gradio_api/upload', data=part).is_error
    many = [('files', ('a', b'0')), ('files', ('b', b'1'))]
    assert visitor.web.post('/gradio_api/upload', files=many).is_error
    codes = [visitor.upload(b'0' * 9_000).status_code for _ in range(8)]
    assert codes[0] == 200 and codes[-1] == 429
    monkeypatch.setattr('mmdit.web.uploads.MAX_RECENT', 1 << 30)
    monkeypatch.setattr('mmdit.web.uploads.MAX_FOLDER', 40_000)
    codes = [visitor.upload(b'0' * 9_000).status_code for _ in range(8)]
    assert codes[-1] == 429
    served.folder.sweep(max_age=-1)
    assert visitor.upload(b'0' * 9_000).status_code == 200
    served.folder.sweep(max_age=-1)


def test_a_slow_or_broken_upload_leaves_nothing(served, monkeypatch):
    monkeypatch.setattr('mmdit.web.uploads.MAX_SECONDS', 0.5)
    before = set(served.folder.files.iterdir())
    host, port = served.address.split('/')[2].split(':')
    head = (
        f'POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\n'
        'Content-Type: multipart/form-data; boundary=b\r\n'
        'Content-Length: 1000\r\n\r\n--b\r\nContent-Disposition: form-data; '
        'name="files"; filename="a"\r\n\r\nbegin'
    ).encode()
    for is_slow in (True, False):
        with socket.create_connection((host, int(port)), timeout=10) as line:
            line.sendall(head)
            if is_slow:
                assert b' 408 ' in line.recv(4096)
    for _ in range(100):
        if before == set(served.folder.files.iterdir()):
            return
        threading.Event().wait(0.05)
    raise AssertionError(list(served.folder.files.rglob('*')))


@pytest.mark.parametrize(
    'sent',
    [
        *('', '1,2,3', '1,2,3,4,5', '1,2,3,nan', '-inf,0,1,1', '1,2,3,x', 'é'),
        *(None, 7, True, ',' * 10_000, '1' * 10_000),
    ],
)
def test_a_forged_box_is_none(visitor, photo, sent):
    visitor.open(photo)
    output = visitor.drag(None, sent)
    assert output['error'] == 'This is not a box: drag it again.'


def test_a_box_that_ends_at_the_edge_is_within(visitor, photo):
    visitor.open(photo)
    assert 'data' in visitor.drag(None, '0,0,720,480.4')
    canvas, legend, masks, _ = visitor.show()['data']
    assert [name for _, name in legend['choices']] == ['Object 1']
    assert masks['visible'] and masks['value'] == 1


def test_an_unforeseen_failure_has_a_number(visitor, photo, caplog):
    visitor.open(photo)
    error = visitor.query('break')['error']
    assert error.startswith('Something went wrong (error ')
    number = error.split('(error ')[1].split(')')[0]
    assert f'error {number}' in caplog.text
    assert 'secret inner state' in caplog.text and 'secret' not in error


def encode(image, kind, **options):
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def odd_images():
    """Images that are rare, and what the page says to them."""
    rgb = Image.new('RGB', (64, 48), 'green')
    jpeg = encode(rgb, 'JPEG')
    wide = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    frames = [rgb, Image.new('RGB', (64, 48), 'red')]
    bomb = encode(Image.new('1', (2000, 2000)), 'PNG')
    return {
        'flat.png': (encode(rgb.resize((1000, 3)), 'PNG'), 'data'),
        'thin.png': (encode(rgb.resize((1, 5000)), 'PNG'), 'data'),
        'wide.png': (encode(rgb.resize((5000, 1)), 'PNG'), 'data'),
        'dot.png': (encode(rgb.resize((1, 1)), 'PNG'), 'data'),
        '16 bits.png': (encode(Image.fromarray(wide), 'PNG'), 'data'),
        'moving.gif': (
            encode(rgb, 'GIF', save_all=True, append_images=frames),
            'data',
        ),
        'a jpeg.png': (jpeg, 'data'),
        'no extension': (jpeg, 'data'),
        'short.jpg': (jpeg[: len(jpeg) // 2], 'error'),
        'header.png': (encode(rgb, 'PNG')[:40], 'error'),
        'empty.png': (b'', 'error'),
        'bomb.png': (bomb, 'megapixels'),
        'page.html': (b'<script>alert(1)</script>', 'not an image'),
        '../../up.png': (jpeg, 'data'),
        '<b>' + 'n' * 300: (b'0', 'not an image'),
    }


@pytest.mark.parametrize('name', odd_images())
def test_odd_images_are_read_or_a_sentence(visitor, name):
    content, expected = odd_images()[name]
    response = visitor.upload(content, name)
    assert response.is_success, response.text
    file = dict(path=response.json()[0], orig_name=name)
    output = visitor.do(visitor.find('upload'), [file, None])
    if expected != 'data':
        assert expected in output or expected in output['error']
        assert '<b>' not in output['error'] and 'mmdit-web' not in str(output)
        return
    assert 'data' in output and 'data' in visitor.query('red')
    canvas = visitor.show(0.3)['data'][0]['url']
    assert canvas.startswith('data:image/jpeg;base64,')
    address = visitor.download(0)['data'][0]
    assert visitor.web.get(address.removeprefix('.')).is_success
