"""The sessions of all visitors, within a bound of memory."""

from collections import OrderedDict
from threading import Lock
from time import monotonic
from uuid import uuid4

from .session import Session

MAX_BYTES = 1 << 30
HOUR = 3600  # seconds


class SessionStore:
    """Keep sessions until memory is needed; the longest unused goes first.

    Args:
        max_bytes: Memory that all images and predictions may take together.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._begun: dict[str, float] = {}
        self._lock = Lock()

    @property
    def num_bytes(self) -> int:
        """Memory that the sessions take."""
        return sum(session.num_bytes for session in self._sessions.values())

    def __len__(self) -> int:
        return len(self._sessions)

    def check_room(self, num_bytes: int) -> None:
        """Reject a session that will not fit, before it is made."""
        if num_bytes > self.max_bytes:
            raise ValueError(
                f'This takes {num_bytes / 1e6:.0f} MB, and the page keeps at '
                f'most {self.max_bytes / 1e6:.0f} MB: take fewer expressions '
                'or a smaller image.'
            )

    def put(self, session: Session, key: str | None = None) -> str:
        """Keep a session, in place of an earlier one; return its key."""
        self.check_room(session.num_bytes)
        key = key or uuid4().hex
        with self._lock:
            self._sessions[key] = session
            self._sessions.move_to_end(key)
            self._begun.setdefault(key, monotonic())
            while self.num_bytes > self.max_bytes:
                self._pop(next(iter(self._sessions)))
            # Of tabs that Gradio has forgotten, which would drop the others.
            for old, begun in list(self._begun.items()):
                if begun < monotonic() - HOUR:
                    self._pop(old)
        return key

    def get(self, key: str | None) -> Session:
        """Return a session that has been kept."""
        with self._lock:
            if key is not None and key in self._sessions:
                self._sessions.move_to_end(key)
                return self._sessions[key]
        if key is None:
            raise ValueError('There is no image yet: drop one first.')
        raise ValueError(
            'This image was removed to free memory for others: drop it again.'
        )

    def drop(self, key: str | None) -> None:
        """Forget a session."""
        with self._lock:
            self._pop(key)

    def _pop(self, key: str | None) -> None:
        if key is not None:
            self._sessions.pop(key, None)
            self._begun.pop(key, None)
