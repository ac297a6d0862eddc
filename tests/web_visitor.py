"""A visitor of the page, who speaks its protocol as the browser does."""

import json
from pathlib import Path
from secrets import token_hex

import httpx


class Visitor:
    """One tab with the page.

    Args:
        address: Of the page.
        timeout: For each response, in seconds.
    """

    def __init__(self, address, timeout=60):
        self.web = httpx.Client(base_url=address, timeout=timeout)
        self.session = token_hex(8)
        self.events = [
            (kind, event['id'])
            for event in self.web.get('/config').json()['dependencies']
            for _, kind in event['targets']
        ]

    def find(self, kind, place=0):
        """Return the number of an event of a kind, such as 'upload'."""
        return [n for k, n in self.events if k == kind][place]

    def upload(self, path, name=None):
        """Send a file; return the response."""
        content = path if isinstance(path, bytes) else Path(path).read_bytes()
        name = name or getattr(path, 'name', 'image.png')
        return self.web.post(
            '/gradio_api/upload', files={'files': (name, content)}
        )

    def join(self, event, data, **others):
        """Queue an event; return the response."""
        body = dict(fn_index=event, data=data, session_hash=self.session)
        return self.web.post('/gradio_api/queue/join', json=body | others)

    def result(self):
        """Wait for what was queued; return its output."""
        with self.web.stream(
            'GET',
            '/gradio_api/queue/data',
            params=dict(session_hash=self.session),
        ) as stream:
            for line in stream.iter_lines():
                message = json.loads(line[5:]) if line else {}
                if message.get('msg') == 'process_completed':
                    return message['output']
        raise RuntimeError('the response never came')

    def do(self, event, data, **others):
        """Queue an event and wait for its output."""
        response = self.join(event, data, **others)
        if response.status_code != 200:
            return response.json()
        return self.result()

    def open(self, path, name=None):
        """Upload an image and begin with it."""
        (stored,) = self.upload(path, name).json()
        file = dict(path=stored, orig_name=name or 'image.png')
        return self.do(self.find('upload'), [file, None])

    def query(self, text):
        """Press Find."""
        return self.do(self.find('submit'), [None, text])

    def show(self, threshold=0.5, selected=None):
        """Fetch canvas and legend."""
        return self.do(self.find('input'), [None, threshold, selected])

    def click(self, selected, index, label=1):
        """Click on the canvas; the gallery's selection comes before it."""
        place = self.find('select', 1)
        data = [None, selected, label]
        return self.do(place, data, event_data=index | dict(value=None))

    def drag(self, selected, box):
        """Drag a box, as drag.js writes it."""
        place = self.find('change', 1)
        return self.do(place, [None, selected, box])

    def download(self, kind):
        """Press the last but one button (PNG), or the last (COCO)."""
        place = [n for k, n in self.events if k == 'click'][kind - 2]
        return self.do(place, [None, 0.5])

    def close(self):
        """Close the tab."""
        self.web.close()
