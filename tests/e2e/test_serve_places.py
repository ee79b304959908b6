"""Where `hookline serve` listens, what it refuses, and its pages as files and on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import unescape
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import trustme

from builders import delivery, document, entry, settlement
from contract.spool_stores import DAY, fresh, intake, shared_location
from hookline.cli.main import main
from hookline.errors import HooklineError
from hookline.model import Address
from hookline.observe.log import Log
from hookline.plan.plan import Plan
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_values import State
from hookline.state.factory import open_state
from hookline.state.store import EMPTY
from hookline.web.letters_view import letter_identity
from hookline.web.links import FileLinks, ServedLinks
from hookline.web.page_export import write_site
from hookline.web.plan_reader import PlanReader
from hookline.web.serving.page_app import AppSettings, PageApp
from hookline.web.serving.page_server import PageEndpoint, page_socket, page_url
from hookline.web.site import Site
from postgres_server import shared_server
from served_page import serving_page, site_at, site_of

ACME = Address("acme@AdobeOrg", "prod")
RECIPIENT = "person@private.example"


def fill(state: str, spool: str) -> None:
    """One applied webhook with 60 dead letters and a rejected line, all with a recipient."""
    found = document(ACME, name="Order confirmations")
    source = {"file": "webhooks/a.yaml", "line": 3}
    change = {"address": str(ACME), "action": "create", "source": source, "before": None, "after": found}
    open_state(state).commit(EMPTY, {ACME: found}, entry("ada", changes=(change,), commit="c0ffee" * 6))
    opened = spool_store(spool).open(since="now")
    letters = [delivery(f"{n}", address=ACME, body=b'{"to":"person@private.example"}') for n in range(60)]
    opened.enqueue(intake(*letters, rejected=1), now=0.0, dedupe_window=DAY)
    for number, item in enumerate(fresh(opened, ACME)):
        reason = "http 422" if number % 2 else f"http 500 for {RECIPIENT}"
        dead = settlement(item, State.DEAD, reason=reason, http=422 if number % 2 else 500)
        opened.settle([dead], now=float(number))
    opened.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = os.umask(0o077)
    directory = tmp_path_factory.mktemp("small")
    fill(str(directory / "state.db"), str(directory / "spool"))
    yield directory
    os.umask(before)


@pytest.fixture
def in_small(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small)


PLACES = ("--state", "state.db", "--spool", "spool")


def test_a_unix_socket_needs_no_url(small: Path, in_small: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Only its owner can open the socket. That of a killed process is replaced; that of a living one is not."""
    path = small / "page.sock"
    with serving_page(small, *PLACES, "--socket", str(path)) as first:
        transport = httpx.HTTPTransport(uds=str(path), retries=3)
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            wait_for_socket(path)
            assert "Order confirmations" in client.get("/").text
            assert 421 == client.get("/", headers={"Host": "evil.example"}).status_code
        assert 0o600 == stat.S_IMODE(path.lstat().st_mode)
        assert 1 == main(["serve", *PLACES, "--socket", str(path)])
        assert "another process serves the page" in capsys.readouterr().err
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(30)
    assert path.is_socket()
    with serving_page(small, *PLACES, "--socket", str(path)) as second:
        wait_for_socket(path)
        assert 0 == second.end()
    assert not path.exists()


def wait_for_socket(path: Path) -> None:
    """Until a process accepts connections there."""
    for _ in range(600):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                return probe.connect(str(path))
            except OSError:
                threading.Event().wait(0.05)
    pytest.fail("nobody listens")


def test_tls_and_proxies(small: Path) -> None:
    """With a certificate or behind a proxy, any address is allowed, and the cookie needs TLS."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.cert_chain_pems[0].write_to_path(small / "chain.pem")
    certificate.private_key_pem.write_to_path(small / "key.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    tls = ("--tls-certificate", "chain.pem", "--tls-key", "key.pem")
    with serving_page(small, *PLACES, *tls) as served:
        url = served.new_url()
        assert url.startswith("https://127.0.0.1:")
        with httpx.Client(verify=trust) as client:
            cookie = client.get(url).headers["set-cookie"]
            assert cookie.startswith("__Host-hookline=")
            assert "Secure" in cookie
            assert 200 == client.get(f"{served.origin}/").status_code
    endpoint = PageEndpoint(listen=("127.0.0.1", 0))
    with page_socket(endpoint) as listening:
        assert "https://page.acme.example" == page_url(listening, endpoint, "page.acme.example", behind_proxy=True)
        assert page_url(listening, endpoint, None, behind_proxy=False).startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("options", "code", "finding"),
    [
        (("--listen", "0.0.0.0:0"), 64, "would cross the network in clear text"),
        (("--behind-proxy",), 64, "--behind-proxy needs --listen-name"),
        (("--tls-key", "key.pem"), 64, "belong together"),
        (("--socket", "s", "--behind-proxy"), 64, "needs neither a certificate nor"),
        (("--export", "site", "--show-recipients"), 64, "--export never writes recipients"),
        (("--source-url", "javascript:{file}"), 64, "not a URL with {file}"),
        (("--listen", "192.0.2.1:0", "--tls-certificate", "a", "--tls-key", "b"), 1, "cannot listen on"),
        (("--tls-certificate", "nothing", "--tls-key", "nothing"), 1, "belong together"),
        (("--socket", "state.db"), 1, "is no socket"),
        (("--state", "nothing.db"), 8, "no state exists at nothing.db"),
        (("--export", "."), 6, "is not an empty directory"),
    ],
)  # fmt: skip
def test_refusals(
    in_small: None, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], code: int, finding: str
) -> None:
    """Each wrong option ends with its code and reason before anything is served."""
    places = PLACES if "--state" not in options else PLACES[2:]
    free = () if {"--listen", "--socket"} & set(options) else ("--listen", "127.0.0.1:0")
    assert code == main(["serve", *places, *free, *options])
    assert finding in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the packages, the message has the command that installs them."""
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert 1 == main(["serve"])
    assert "pip install jinja2 starlette uvicorn" in capsys.readouterr().err


def test_exported_files(small: Path, tmp_path: Path) -> None:
    """Every link leads to a file, nobody else can read them, and none has a script or a recipient."""
    target = tmp_path / "out" / "site"
    count = write_site(site_of(small, FileLinks()), target)
    files = {path.name: path for path in target.iterdir()}
    assert count == len(files)
    assert {0o700, 0o600} == {stat.S_IMODE(path.lstat().st_mode) for path in (target, *files.values())}
    for path in files.values():
        text = path.read_text()
        assert RECIPIENT not in text
        assert "<script" not in text
        if path.suffix == ".html":
            assert "default-src &#39;none&#39;" in text
            targets = set(re.findall(r'(?:href|src)="([^"#]+)"', text))
            assert targets - {"#main"} <= files.keys(), path
    assert "dead-letters-2.html" in files
    assert 61 == len([name for name in files if name.startswith("dead-letter-")])
    with pytest.raises(HooklineError, match="not an empty directory"):
        write_site(site_of(small, FileLinks()), target)


@pytest.mark.parametrize(
    "command",
    [
        ("serve", *PLACES, "--export"),
        ("export", "--state", "state.db"),
        ("spool", "recover", "spool"),
        ("spool", "copy", "--spool", "spool"),
    ],
)
def test_a_link_in_a_circle_is_refused(
    small: Path, in_small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """A new directory whose name is a link that leads in a circle is an error with a message for every command."""
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    assert main([*command, str(circle)]) in (1, 8, 9)
    assert str(circle) in capsys.readouterr().err
    assert ["circle"] == [path.name for path in tmp_path.iterdir()]


def test_an_interrupted_export_leaves_nothing(small: Path, tmp_path: Path) -> None:
    """The files appear together or not at all."""

    def interrupt(done: int, _: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_site(site_of(small, FileLinks()), tmp_path / "site", interrupt)
    assert [] == list(tmp_path.iterdir())


def test_dead_letters_are_those_of_the_command(
    small: Path, in_small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each filter of `dead list` has the same result on the page."""
    for name, value in {
        "webhook": str(ACME), "channel": "email", "status": "sent", "reason": "422", "http-status": "500",
        "since": "1970-01-01T00:00:30", "until": "1970-01-01T00:00:20",
    }.items():  # fmt: skip
        assert 0 == main(["dead", "list", "--spool", "spool", f"--{name}", value, "--limit", "50"])
        listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        html = site_of(small).letters({name: value}).html
        assert listed
        assert listed == re.findall(r'<th scope="row"><a href="/dead-letter\?id=([^"]+)"', html), name


def test_a_page_of_letters_keeps_no_others(small: Path) -> None:
    """A later page does not hold the payloads of those before it: each may have a megabyte."""
    spool = site_of(small).sources.spool
    whole, _ = spool.newest_letters(Filter(), 100)
    part, count = spool.newest_letters(Filter(), 50, skip=50)
    assert (61, 11) == (count.total, len(part))
    assert whole[50:] == part
    assert list(map(letter_identity, whole[:60])) == spool.letter_identities(60)


@pytest.mark.parametrize("shared", [False, True])
def test_new_letters_do_not_move_the_next_page(tmp_path: Path, shared: bool) -> None:
    """Each letter is on one page, also if others die between two pages, and if many have the time of a page's end."""
    spool, state = shared_location(tmp_path) if shared else str(tmp_path / "spool"), str(tmp_path / "state.db")
    relay = spool_store(spool).open(since="now")

    def kill(names: Iterable[str], at: float) -> list[str]:
        letters = [delivery(name, address=ACME) for name in names]
        relay.enqueue(intake(*letters), now=0.0, dedupe_window=DAY)
        dead = [settlement(item, State.DEAD, reason="http 422", http=422) for item in fresh(relay, ACME)]
        relay.settle(dead, now=at)
        return [one.id.hex() for one in letters]

    expected = kill(map(str, range(20)), 10.25)
    for half in "ab":
        expected += kill((f"{half}-{n}" for n in range(65)), 20.1)
    site, link, found = site_at(state, spool), "/dead-letters?channel=email", list[str]()
    for turn in range(3):
        html = site.letters(dict(parse_qsl(urlsplit(link).query))).html
        found += re.findall(r'<th scope="row"><a href="/dead-letter\?id=([^"]+)"', html)
        kill((f"later-{turn}-{n}" for n in range(60)), 30.0 + turn)
        links = re.findall(r'<a href="([^"]+)" rel="next"', html)
        link = unescape(links[0]) if links else ""
    relay.close()
    assert "" == link
    assert sorted(expected) == sorted(found)
    refused = site.letters({"after": "20.1_100000"})
    assert (HTTPStatus.BAD_REQUEST, True) == (refused.status, "not the end of a page" in refused.html)


def test_both_stores(small: Path, tmp_path: Path) -> None:
    """A state and a spool in PostgreSQL have the same pages as those in files, and are only read."""
    state, spool = shared_server().url(shared_server().new_database()), shared_location(tmp_path)
    fill(state, spool)
    here, there = site_of(small), site_at(state, spool)
    for page in ("inventory", "letters"):
        assert getattr(here, page)({}).html == getattr(there, page)({}).html
    assert here.webhook({"address": str(ACME)}).html == there.webhook({"address": str(ACME)}).html
    for html in (there.lanes({}).html, there.trace({"id": delivery("1").id.hex()}).html):
        assert "/webhook?address=acme%40AdobeOrg%2Fprod" in html
    assert HTTPStatus.OK is there.letter({"id": "line-1"}).status


def test_facts_are_those_of_the_moment(tmp_path: Path, private_files: None) -> None:
    """An apply shows on the next request. Without a spool, the inventory states that no backlog is known."""
    state = tmp_path / "state.db"
    first = document(ACME, name="first name")
    store = open_state(str(state))
    snapshot = store.commit(EMPTY, {ACME: first}, entry("ada"))
    site = site_of(tmp_path)
    assert "first name" in site.inventory({}).html
    assert "No backlog is shown: spool not found" in site.inventory({}).html
    assert HTTPStatus.SERVICE_UNAVAILABLE is site.lanes({}).status
    change = {"address": str(ACME), "action": "update", "source": {"file": "w/a.yaml", "line": 7}, "after": first}
    store.commit(snapshot, {ACME: {**first, "name": "second name"}}, entry("<grace>", changes=(change,)))
    assert "second name" in site.inventory({"q": "SECOND prod"}).html
    assert "No applied webhook matches" in site.inventory({"q": "first"}).html
    html = site.webhook({"address": str(ACME)}).html
    assert "serial 2" in html
    assert "&lt;grace&gt;" in html
    assert "w/<wbr>a.yaml:7" in html


def test_a_slow_page_holds_up_no_other(small: Path) -> None:
    """While one page waits for its files, the event loop answers others. An error in a page is an answer too."""
    waits, started = threading.Event(), threading.Event()

    def slow_plan() -> Plan:
        started.set()
        assert waits.wait(60)
        raise RuntimeError("broken")

    site = site_of(small)
    slow = Site(replace(site.sources, plan=PlanReader(slow_plan, "webhooks")), ServedLinks())
    lines: list[str] = []
    log = Log(lines.append, level="info", format="text", clock=lambda: 0.0)
    app = PageApp(slow, AppSettings(access=None, names=(), secure=False), log).app

    async def check() -> tuple[int, int]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            plan = asyncio.create_task(client.get("/plan"))
            await asyncio.to_thread(started.wait, 60)
            others = await asyncio.gather(*(client.get(path) for path in ("/", "/lanes", "/dead-letters")))
            assert not plan.done()
            assert {200} == {one.status_code for one in others}
            waits.set()
            failed = await plan
            assert "broken" not in failed.text
            return failed.status_code, others[0].status_code

    assert (500, 200) == asyncio.run(check())
    assert any("page failed" in line and "RuntimeError: broken" in line for line in lines)


def test_a_plan_with_findings(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows the changes of `hookline plan`, or the findings in the files with their places."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "webhooks"
    folder.mkdir()
    (folder / "a.yaml").write_text("version: 1\nurl: http://x\n")
    places = ("--state", str(small / "state.db"), "--spool", str(small / "spool"))
    assert 0 == main(["serve", "--export", "site", "--config", "webhooks", *places])
    findings = (tmp_path / "site" / "plan.html").read_text()
    assert "webhooks/a.yaml:2:6" in findings
    assert "no plan can be made" in findings
    (folder / "a.yaml").unlink()
    assert 0 == main(["serve", "--export", "empty", "--config", "webhooks", *places])
    plan = (tmp_path / "empty" / "plan.html").read_text()
    assert str(ACME) in plan
    assert 'class="blocked"' in plan
