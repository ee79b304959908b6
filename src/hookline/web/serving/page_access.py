"""Who may see the pages: one-time tokens, and the sessions that they open. Only hashes of both are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

TOKEN_BYTES: Final = 32
TOKEN_SECONDS: Final = 3600.0
PAGE_SESSION_SECONDS: Final = 12 * 3600.0
MAX_SESSIONS: Final = 32
MAX_OPEN_TOKENS: Final = 8


class PageAccess:
    """Tokens and sessions. Any thread may call it. A comparison takes the same time for every wrong value.

    Args:
        monotonic: Seconds since some moment.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tokens: dict[bytes, float] = {}  # the hash of each, and its end
        self._sessions: dict[bytes, float] = {}

    def new_token(self) -> str:
        """A token that opens one session within TOKEN_SECONDS. The oldest of many unused tokens becomes void."""
        with self._lock:
            return self._add(self._tokens, TOKEN_SECONDS, MAX_OPEN_TOKENS)

    def open_session(self, token: str) -> str | None:
        """The cookie of a new session; None if the token is unknown, used or too old. The token is then void."""
        with self._lock:
            found = self._find(self._tokens, token)
            if found is None:
                return None
            del self._tokens[found]
            return self._add(self._sessions, PAGE_SESSION_SECONDS, MAX_SESSIONS)

    def admits(self, cookie: str | None) -> bool:
        """Whether a cookie belongs to a session that has not ended."""
        with self._lock:
            return cookie is not None and self._find(self._sessions, cookie) is not None

    def _add(self, kept: dict[bytes, float], seconds: float, at_most: int) -> str:
        value = secrets.token_urlsafe(TOKEN_BYTES)
        while len(kept) >= at_most:
            del kept[next(iter(kept))]
        kept[_hash(value)] = self._monotonic() + seconds
        return value

    def _find(self, kept: dict[bytes, float], value: str) -> bytes | None:
        """Compare with every value, so that the time does not depend on the one that matches."""
        wanted, now, found = _hash(value), self._monotonic(), None
        for known, end in list(kept.items()):
            if end <= now:
                del kept[known]
            elif hmac.compare_digest(known, wanted):
                found = known
        return found


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "replace")).digest()
