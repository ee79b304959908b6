"""The page of `hookline serve` in a real browser."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from math import sin
from pathlib import Path
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from browser import MISSING, PROGRAM, WatchedPage, running_browser
from builders import as_lines, delivery, ingest_batch, settlement, xdm_event
from contract.spool_stores import fresh
from hookline.model import Address
from hookline.relay.delivery_record import FailedAttempt, Line, encode_history
from hookline.relay.spool.activity import MinuteActivity, minute_of
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_values import RejectedLine, State
from hookline.relay.status_collector import COLLECT_SECONDS
from hookline.web.spool_reader import STATUS_KEPT_SECONDS
from hookline_process import ADDRESS, ORGANIZATION, Lab
from hostile_markup import EXECUTION, address_of, fill_configuration, fill_spool, fill_state
from served_page import ServedPage, serving_page

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

SCREENSHOTS = Path(__file__).parents[2] / "docs" / "how-to" / "page"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTH, HEIGHT, NARROW = 1280, 640, 360


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


def opened_tab(browser: Browser, served: ServedPage, *, script: bool = True) -> WatchedPage:
    """A tab that has used a new one-time URL."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, java_script_enabled=script)
    watched = WatchedPage(context, served.origin)
    watched.page.goto(served.new_url())
    watched.page.wait_for_url(f"{served.origin}/")
    return watched


def violations(page: Page, rules: list[str]) -> list[str]:
    """What axe-core finds: the rule, and the elements that break it."""
    found = Axe().run(page, options={"runOnly": rules})
    return [f"{one['id']}: {node['html']}" for one in found.response["violations"] for node in one["nodes"]]


def test_no_value_becomes_markup(browser: Browser, tmp_path: Path, private_files: None) -> None:
    """200 hostile values on every page: none runs, the policy blocks nothing, and no request leaves the host."""
    fill_state(tmp_path / "state.db")
    fill_spool(tmp_path / "spool")
    fill_configuration(tmp_path / "webhooks")
    options = ("--state", "state.db", "--spool", "spool", "--config", "webhooks", "--show-recipients")
    with serving_page(tmp_path, *options) as served:
        tab = opened_tab(browser, served)
        first, letter = quote(str(address_of(0)), safe=""), "/dead-letter?id=line-1"
        paths = [
            *(f"/?page={page}" for page in range(1, 6)),
            *(f"/lanes?page={page}" for page in range(1, 5)),
            *(letter, "/plan", f"/webhook?address={first}", "/webhook?address=acme@AdobeOrg/busy"),
            *(f"{path}={quote(EXECUTION)}" for path in ("/trace?id", "/?q", "/lanes?q", "/dead-letters?reason")),
        ]
        for path in paths:
            tab.visit(path)
            assert [] == tab.problems, path
        tab.visit("/dead-letters")
        pages, older = 1, tab.page.locator("a[rel=next]")
        while older.count():
            tab.visit(str(older.get_attribute("href")))
            assert [] == tab.problems, tab.page.url
            pages += 1
        assert 4 <= pages
        tab.visit(f"/trace?id={quote(EXECUTION)}")
        expect(tab.page.locator("article")).to_have_count(220)  # 200 deliveries, and at most 20 lines


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three webhooks, a change that is not applied yet, and dead letters."""
    before = os.umask(0o077)
    lab = Lab(tmp_path_factory.mktemp("team"))
    write_webhook(lab, name="Order confirmations", url="https://localhost:1/feedback")
    write_webhook(lab, sandbox="stage", name="Text messages", url="https://hooks.acme.example/in")
    write_webhook(
        lab, organization="globex@AdobeOrg", name="Receipts", url="https://feedback.globex.example/in", enabled=False
    )
    lab.hookline("apply", "--auto-approve")
    write_webhook(lab, sandbox="stage", name="Text messages", url="https://texts.acme.example/in")
    fill_spool_of_team(lab.directory / ".hookline" / "spool")
    yield lab
    os.umask(before)


def write_webhook(lab: Lab, *, organization: str = ORGANIZATION, sandbox: str = "prod", **fields: object) -> None:
    address = {"organization": organization, "sandbox": sandbox}
    path = lab.directory / "webhooks" / organization / f"{sandbox}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, **address, "channels": ["email", "sms"], "campaigns": "all", **fields}))


def fill_spool_of_team(directory: Path) -> None:
    """Dead letters with their attempts, a rejected line, and an hour of activity."""
    now, stage, prod = time.time(), Address(ORGANIZATION, "stage"), Address(ORGANIZATION, "prod")
    spool = spool_store(directory).open(since="now")
    try:
        letters = [
            delivery(
                f"{number}", address=stage, channel="email", status="bounce", request_id=f"REQ-{80940504 + number}",
                execution_id="HUMA-26362805", time="2026-05-18T17:01:25Z",
                detail="550 unknown user person@acme.example",
            )
            for number in range(4)
        ]  # fmt: skip
        line = RejectedLine(Line(7, b"{", 1), 0, "not JSON: unexpected end of the text")
        batch = ingest_batch(*letters, source="/var/log/feedback/events.ndjson", read=5, rejected=[line])
        spool.enqueue(batch, now=now - 600, dedupe_window=86_400.0)
        for item in fresh(spool, stage):
            tried = [FailedAttempt(now - 590, 1, "http 422", 422)]
            spool.settle(
                [settlement(item, State.DEAD, reason="http 422", http=422, history=encode_history(tried))],
                now=now - 580,
            )
        for minute in range(minute_of(now) - 59, minute_of(now) + 1):
            wave = 400 + 300 * sin(minute / 9)
            failed = int(wave / 8) if minute % 20 < 4 else 0
            spool.record_activity(
                [
                    MinuteActivity(
                        minute, stage, int(wave), failed, 0.02 + wave / 50_000, 0.05 + wave / 9_000, 0, wave / 40
                    ),
                    MinuteActivity(minute, prod, 120 + minute % 7, 0, 0.03, 0.08, 0, 4.0),
                ]
            )
    finally:
        spool.close()


@pytest.fixture(scope="module")
def page_of_team(team: Lab) -> Iterator[ServedPage]:
    with serving_page(team.directory, "--config", "webhooks") as served:
        yield served


def test_a_lane_that_opens_its_breaker_shows_so(browser: Browser, team: Lab, page_of_team: ServedPage) -> None:
    """The open page changes by itself: the relay reports each second, and the page asks every 2 seconds."""
    log = team.directory / "live.ndjson"
    log.write_bytes(b"")
    address = ("--organization", ORGANIZATION, "--sandbox", "prod", "--allow-network", "127.0.0.0/8")
    relay = ("relay", "--follow", *address, "--secrets-dir", str(team.secrets), str(log))
    with team.running(*relay):
        tab = opened_tab(browser, page_of_team)
        page = tab.visit("/lanes")
        lane = page.get_by_role("row").filter(has_text=ADDRESS)
        expect(lane).to_contain_text("closed", timeout=30_000)
        refresh = float(page.locator("#live").get_attribute("data-refresh-seconds") or 0)
        assert COLLECT_SECONDS + STATUS_KEPT_SECONDS + refresh < 5
        page.locator("#q").fill("half typed")
        lane.get_by_role("link").focus()
        log.write_bytes(as_lines([xdm_event(number, number) for number in range(20)]))
        expect(lane.locator(".tag")).to_have_text("open", timeout=30_000)
        expect(lane).to_contain_text("until")
        # A refresh keeps the keyboard focus and the text of a form.
        expect(lane.get_by_role("link")).to_be_focused()
        expect(page.locator("#q")).to_have_value("half typed")
        page.locator("#q").fill("")
        keep_screenshot(page, "lanes")
        page.get_by_role("button", name="Pause refreshing").click()
        expect(page.get_by_role("button", name="Refresh again")).to_be_visible()
        assert [] == tab.problems


def test_a_page_with_an_error_refreshes_itself(browser: Browser, page_of_team: ServedPage) -> None:
    """The answer to a wrong filter is an answer: the page does not report that none came."""
    page = opened_tab(browser, page_of_team).page
    page.goto(f"{page_of_team.origin}/dead-letters?http-status=99")
    expect(page.get_by_role("alert")).to_contain_text("not an HTTP status")
    page.get_by_role("button", name="Pause refreshing").click()
    with page.expect_response("**/dead-letters?http-status=99") as answer:
        page.get_by_role("button", name="Refresh again").click()
    assert 400 == answer.value.status
    page.wait_for_load_state("networkidle")
    expect(page.locator("#refresh [role=status]")).to_have_text("")


SIX_PAGES = {
    "inventory": "/",
    "webhook": f"/webhook?address={ADDRESS}",
    "lanes": "/lanes",
    "dead-letters": "/dead-letters",
    "trace": "/trace?id=HUMA-26362805",
    "plan": "/plan",
}


# They have all colours.
IN_THE_DARK = ("lanes", "plan", "webhook", "trace", "dead-letters")


def test_pages_are_accessible(browser: Browser, page_of_team: ServedPage) -> None:
    """axe-core finds no violation on any page in light and dark colours; the keyboard reaches the content."""
    page = opened_tab(browser, page_of_team).page
    for name, path in {**SIX_PAGES, "letter": "/dead-letter?id=line-1", "missing": "/nothing"}.items():
        page.goto(f"{page_of_team.origin}{path}")
        page.emulate_media(color_scheme="light")
        if name in SIX_PAGES and name != "lanes":  # that of a running relay shows more
            keep_screenshot(page, name)
        assert [] == violations(page, RULES), (name, "light")
        if name in IN_THE_DARK:
            page.emulate_media(color_scheme="dark")
            assert [] == violations(page, ["color-contrast"]), (name, "dark")
        page.set_viewport_size({"width": NARROW, "height": HEIGHT})
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW, name
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def keep_screenshot(page: Page, name: str) -> None:
    """Take a picture. `SCREENSHOTS=1 pytest` writes it into the documentation."""
    picture = page.screenshot()
    assert picture.startswith(b"\x89PNG")
    if os.environ.get("SCREENSHOTS"):
        SCREENSHOTS.mkdir(exist_ok=True)
        (SCREENSHOTS / f"{name}.png").write_bytes(picture)


def test_pages_work_without_a_script(browser: Browser, page_of_team: ServedPage) -> None:
    """Without JavaScript, every page shows its facts, and its forms and links work."""
    page = opened_tab(browser, page_of_team, script=False).page
    page.get_by_label("Search").fill("receipts")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="globex@AdobeOrg/prod").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("globex@AdobeOrg/prod")
    page.get_by_role("link", name="Lanes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lanes")


def test_exported_pages_open_from_the_disk(browser: Browser, team: Lab) -> None:
    """The files need no server: links, styles and the policy work at file:// addresses."""
    team.hookline("serve", "--export", "site", "--config", "webhooks")
    tab = WatchedPage(browser.new_context(), f"file://{team.directory}")
    page = tab.visit("/site/index.html")
    assert "700" in page.evaluate("getComputedStyle(document.querySelector('.brand')).fontWeight")
    page.get_by_role("link", name=ADDRESS).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(ADDRESS)
    page.get_by_role("link", name="Plan").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plan")
    tab.check()
    assert [] == tab.problems
