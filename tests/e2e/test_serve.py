"""`hookline serve`: access, headers, contents and errors of the page, over HTTP from a real process."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from hostile_markup import (
    EXECUTION,
    HOSTILE_VALUES,
    RECIPIENTS,
    address_of,
    fill_configuration,
    fill_spool,
    fill_state,
)
from served_page import ServedPage, serving_page, site_of

PLACES = ("--state", "state.db", "--spool", "spool")
PAGES = (
    *("/", "/lanes", "/dead-letters", "/dead-letter?id=line-1", "/plan", "/trace"),
    *("/webhook?address=acme@AdobeOrg/busy", f"/trace?id={EXECUTION}"),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with 200 hostile values wherever a value from outside can be."""
    before = os.umask(0o077)
    directory = tmp_path_factory.mktemp("hostile")
    fill_state(directory / "state.db")
    fill_spool(directory / "spool")
    fill_configuration(directory / "webhooks")
    yield directory
    os.umask(before)


@pytest.fixture(scope="module")
def served(filled: Path) -> Iterator[ServedPage]:
    with serving_page(filled, *PLACES, "--config", "webhooks") as running:
        yield running


@pytest.fixture(scope="module")
def client(served: ServedPage) -> Iterator[httpx.Client]:
    with served.client() as opened:
        yield opened


# -- access


def test_a_url_opens_one_session(served: ServedPage) -> None:
    """The one-time URL sets a cookie that scripts and other sites cannot use, and is void afterwards. SIGHUP prints
    another one."""
    url = served.new_url()
    first, second = httpx.get(url), httpx.get(url)
    cookie = first.headers["set-cookie"].lower()
    assert (200, 403) == (first.status_code, second.status_code)
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))
    assert "set-cookie" not in second.headers
    assert 200 == httpx.get(f"{served.origin}/", cookies=first.cookies).status_code
    assert 403 == httpx.get(f"{served.origin}/open/{'x' * 43}").status_code
    assert "session opened" in served.log
    assert "session refused" in served.log
    assert url != served.new_url()


def test_nothing_is_shown_without_a_session(served: ServedPage) -> None:
    """Every page and every unknown path is closed without a cookie, and with a wrong one."""
    for path in (*PAGES, "/nothing", "/assets/nothing"):
        for cookies in ({}, {"hookline": "x" * 43}):
            answer = httpx.get(f"{served.origin}{path}", cookies=cookies)
            assert 403 == answer.status_code, path
            assert "AdobeOrg" not in answer.text
            assert "kill -HUP" in answer.text


def test_another_host_is_refused(served: ServedPage, client: httpx.Client) -> None:
    """A page whose name resolves to this address gets nothing, not even with a cookie (DNS rebinding)."""
    for path in ("/", "/assets/page.css", "/open/x", "/nothing"):
        answer = client.get(path, headers={"Host": "rebinding.example:9470"})
        assert 421 == answer.status_code
        assert "--listen-name" in answer.text
    assert 200 == client.get("/", headers={"Host": "localhost:1"}).status_code


def test_answers_are_guarded(served: ServedPage, client: httpx.Client) -> None:
    """Every answer has the policy and is not cached. Nothing but GET and HEAD is supported, and queries are short."""
    for path in (*PAGES, "/nothing", "/assets/page.css", "/open/x"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert ("no-store", "no-referrer", "nosniff") == tuple(
            headers[name] for name in ("cache-control", "referrer-policy", "x-content-type-options")
        )
        assert "server" not in headers
    assert {405} == {client.request(method, "/").status_code for method in ("POST", "PUT", "DELETE", "PATCH")}
    assert 200 == client.head("/lanes").status_code
    assert 414 == client.get(f"/?q={'x' * 9000}").status_code


# -- contents


class Markup(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {tag, *(f"{tag}@{name}" for name, _ in attrs)}
        self.targets += [value or "" for name, value in attrs if name in ("href", "src", "action")]


# All elements and attributes that the templates have.
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "script", "body", "a", "header", "p", "nav", "ul", "li", "main", "h1"),
    *("form", "div", "label", "input", "button", "section", "table", "thead", "tr", "th", "tbody", "td", "span"),
    *("footer", "time", "code", "dl", "dt", "dd", "h2", "pre", "ol", "article", "select", "option", "br", "del"),
    *("ins", "strong", "wbr", "svg", "line", "rect", "polyline"),
}
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "rel", "href", "type", "src", "defer", "class", "aria-label", "method"),
    *("action", "role", "for", "id", "value", "placeholder", "data-refresh-seconds", "tabindex", "scope", "colspan"),
    *("viewbox", "width", "height", "x", "y", "x1", "y1", "x2", "y2", "points"),
    *("aria-current", "aria-labelledby", "selected", "inputmode", "size", "reversed"),
}


def test_values_are_text(client: httpx.Client) -> None:
    """On every page that shows them, and where a request gives them, 200 hostile values add no element, no attribute
    and no address."""
    paths = [
        *PAGES,
        *(f"/?page={page}" for page in range(2, 6)),
    ]
    answers = [client.get(path) for path in paths]
    letters = [client.get("/dead-letters")]
    while following := re.search(r'<a href="([^"]+)" rel="next"', letters[-1].text):
        letters.append(client.get(unescape(following[1])))
    assert 4 <= len(letters)
    answers += letters
    for name, path in (
        ("q", "/"),
        ("q", "/lanes"),
        ("id", "/trace"),
        ("id", "/dead-letter"),
        ("address", "/webhook"),
    ):
        answers += [client.get(path, params={name: value}) for value in HOSTILE_VALUES[::12]]
    for name in ("webhook", "channel", "status", "reason", "http-status", "since", "until"):
        answers += [client.get("/dead-letters", params={name: value}) for value in HOSTILE_VALUES[::66]]
    answers += [client.get("/webhook", params={"address": str(address_of(number))}) for number in range(0, 200, 12)]
    for answer in answers:
        assert answer.status_code < 500, answer.url
        markup = Markup(answer.text)
        found = {name.partition("@")[2] or name for name in markup.names}
        assert found <= ELEMENTS | ATTRIBUTES, (answer.url, found - ELEMENTS - ATTRIBUTES)
        assert [] == [target for target in markup.targets if not target.startswith(("/", "#"))], answer.url
        assert all(one.isprintable() or one == "\n" for one in answer.text), answer.url


def test_recipients_are_masked(filled: Path, client: httpx.Client) -> None:
    """No page shows a recipient, a payload or a line. With --show-recipients, one letter is shown whole."""
    for path in PAGES:
        text = client.get(path).text
        assert "private.example" not in text, path
        assert "151 12345678" not in text, path
    assert "[recipient]" in client.get("/dead-letters").text
    letter = site_of(filled, show_recipients=True).letter({"id": "line-1"}).html
    assert RECIPIENTS[0] in letter
    delivery_id = client.get("/trace", params={"id": EXECUTION}).text.partition("/dead-letter?id=")[2][:32]
    whole = site_of(filled, show_recipients=True).letter({"id": delivery_id}).html
    assert RECIPIENTS[1] in whole
    assert "&#34;recipients&#34;" in whole


def test_reading_changes_nothing(filled: Path, client: httpx.Client) -> None:
    """State and spool are the same bytes after every page was shown."""
    before = {path: path.read_bytes() for path in (filled / "state.db", filled / "spool" / "spool.db")}
    assert all(client.get(path).status_code == 200 for path in PAGES)
    assert before == {path: path.read_bytes() for path in before}
