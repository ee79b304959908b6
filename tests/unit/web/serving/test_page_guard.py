"""Requests and answers of the application, without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from builders import document, entry
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.spool.factory import spool_store
from hookline.state.factory import open_state
from hookline.state.store import EMPTY
from hookline.web.serving.page_access import PageAccess
from hookline.web.serving.page_app import AppSettings, PageApp
from served_page import site_of

ACME = Address("acme@AdobeOrg", "prod")


@pytest.fixture
def access() -> PageAccess:
    return PageAccess()


@pytest.fixture
async def closed(tmp_path: Path, private_files: None, access: PageAccess) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a session."""
    open_state(str(tmp_path / "state.db")).commit(EMPTY, {ACME: document(ACME, name="orders")}, entry("ada"))
    spool_store(str(tmp_path / "spool")).open(since="now").close()
    log = Log(lambda _: None, level="info", format="text", clock=lambda: 0.0)
    app = PageApp(site_of(tmp_path), AppSettings(access=access, names=(), secure=False), log).app
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


@pytest.fixture
async def opened(closed: httpx.AsyncClient, access: PageAccess) -> httpx.AsyncClient:
    assert 200 == (await closed.get(f"/open/{access.new_token()}")).status_code
    return closed


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["/", "/lanes/", "/lanes//", "//evil.example/", "/open/", "/open/x/", "/assets/", "/assets/page.css/"]
)
async def test_no_path_escapes_the_guard(closed: httpx.AsyncClient, path: str) -> None:
    """Also a path with a slash too many is closed, leads nowhere, and has the headers of every answer. A foreign
    Host is refused on it."""
    for host, status in (("localhost", 403), ("evil.example", 421)):
        answer = await closed.get(f"http://localhost{path}", headers={"Host": host})
        assert status == answer.status_code
        assert "location" not in answer.headers
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "no-store" == answer.headers["cache-control"]


@pytest.mark.anyio
async def test_only_get_uses_up_a_url(closed: httpx.AsyncClient, access: PageAccess) -> None:
    """A program that looks at the link with HEAD, as previews do, leaves it valid."""
    path = f"/open/{access.new_token()}"
    for method in ("HEAD", "POST", "OPTIONS"):
        answer = await closed.request(method, path)
        assert (405, "GET") == (answer.status_code, answer.headers["allow"])
    assert 200 == (await closed.get(path)).status_code
    assert 200 == (await closed.head("/")).status_code


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/dead-letters?http-status=0422" + "9" * 30, 400),
        ("/dead-letters?since=" + "9" * 30 + "d", 400),
        ("/dead-letters?reason=a%00b", 200),
        ("/dead-letter?id=line-" + "9" * 30, 400),
        ("/dead-letter?id=%00", 400),
        ("/trace?id=a%00b", 200),
        ("/webhook?address=%00", 404),
        ("/?q=%00&page=" + "9" * 30, 200),
        ("/lanes?q=%FF&page=-1", 200),
    ],
)
async def test_odd_values_are_answered(opened: httpx.AsyncClient, path: str, status: int) -> None:
    """A value that no column can have is wrong or matches nothing. It is no internal error, and the database never
    sees a NUL, which PostgreSQL refuses."""
    answer = await opened.get(path)
    assert status == answer.status_code
    assert "\\u0000" not in answer.text
