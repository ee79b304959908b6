"""One-time tokens and the sessions that they open."""

from __future__ import annotations

from hookline.web.serving.page_access import (
    MAX_OPEN_TOKENS,
    MAX_SESSIONS,
    PAGE_SESSION_SECONDS,
    TOKEN_SECONDS,
    PageAccess,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_token_opens_one_session() -> None:
    """A token is void after its use, and a cookie is no token."""
    access = PageAccess()
    token = access.new_token()
    cookie = access.open_session(token)
    assert cookie is not None
    assert access.admits(cookie)
    assert access.open_session(token) is None
    assert access.open_session(cookie) is None
    assert not access.admits(token)
    assert not access.admits(None)
    assert not access.admits("\ud800")


def test_tokens_and_sessions_end() -> None:
    """A token can be used for an hour, and a session for twelve."""
    clock = Clock()
    access = PageAccess(clock)
    used, late = access.new_token(), access.new_token()
    cookie = access.open_session(used)
    clock.now = TOKEN_SECONDS
    assert access.open_session(late) is None
    clock.now = PAGE_SESSION_SECONDS - 1
    assert access.admits(cookie)
    clock.now = PAGE_SESSION_SECONDS
    assert not access.admits(cookie)


def test_the_oldest_give_way() -> None:
    """The numbers of unused tokens and of sessions are bounded."""
    access = PageAccess()
    first, *_, last = (access.new_token() for _ in range(MAX_OPEN_TOKENS + 1))
    assert access.open_session(first) is None
    oldest = access.open_session(last)
    assert access.admits(oldest)
    for _ in range(MAX_SESSIONS):
        access.open_session(access.new_token())
    assert not access.admits(oldest)
