"""What the browser may say in an event: plain values, nothing for Gradio.

Gradio itself would fetch the URLs of an event, or copy the files that it
names, before a handler sees them.
"""

import json
import re
from typing import Any, NoReturn

SESSION = re.compile(r'[\w-]{1,64}', re.ASCII)
MAX_TEXT = 20_000  # bytes


def clean_event(content: bytes) -> bytes:
    """Return an event of the queue with what the page needs of it.

    Files keep a path and a name, which say nothing to Gradio; whether the path
    may be read is for the handler to find out.

    Raises:
        ValueError: This is not an event of the page.
    """
    try:
        event = json.loads(content, parse_constant=_reject)
        session, function = event['session_hash'], event['fn_index']
        # Where nothing was selected, Gradio tells a value again.
        said = event.get('event_data')
        selected = said if isinstance(said, dict) else {}
        kept = dict(
            data=[_clean(value) for value in event['data']],
            event_data=dict(index=_index(selected.get('index')), value=None),
            fn_index=_integer(function),
            trigger_id=_integer(event.get('trigger_id', 0) or 0),
            session_hash=session if SESSION.fullmatch(session) else _reject(),
        )
    # Whatever else a body holds, such as a million brackets.
    except Exception as error:
        raise ValueError('This is not an event of this page.') from error
    return json.dumps(kept).encode()


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        file = {key: value.get(key) for key in ('path', 'orig_name')}
        return {k: _clean(v) for k, v in file.items() if isinstance(v, str)}
    # Half a surrogate pair is no text.
    if isinstance(value, str) and len(value.encode()) > MAX_TEXT:
        _reject()
    plain = value is None or isinstance(value, (bool, int, float, str))
    return value if plain else _reject()


def _index(value: Any) -> Any:
    """Return a place in a gallery, or x and y."""
    if isinstance(value, list):
        return [n if type(n) in (int, float) else _reject() for n in value[:2]]
    return None if value is None else _integer(value)


def _integer(value: Any) -> int:
    return value if type(value) is int else _reject()


def _reject(*_: Any) -> NoReturn:
    raise ValueError
