"""The pages, with a relay that says what it is told to say."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import pytest
from jsonschema import Draft202012Validator

from hookline.errors import SpoolUnusable
from hookline.observe import pages as module
from hookline.observe.http_server import PageResponse
from hookline.observe.metrics import Metrics
from hookline.observe.pages import MonitoringPages
from hookline.observe.snapshot import (
    Checkpoint,
    Counts,
    LagStatus,
    LaneStatus,
    RelayStatus,
    SpoolStatus,
    StatusSnapshot,
    WebhookStatus,
)
from hookline.observe.status import effective_dedupe_window, status_document
from hookline.schemas import load_schema

pytestmark = pytest.mark.anyio

SPOOL = SpoolStatus(
    at=100.0, tally={"read": 1, "pending": 1}, webhooks=[WebhookStatus(webhook="a/b", pending=1, oldest=2.25)],
    checkpoints=[Checkpoint(name="x", line=1, offset=9, at=50.0), Checkpoint(name="x", line=8, offset=80, at=40.0)],
    sizes={"database": 1},
)  # fmt: skip
RELAY = RelayStatus(
    version="1", process=7, started=1.0, at=100.0, spool_max=5, dedupe_window=60.0, records_max=10,
    lanes=[LaneStatus(webhook="a/b", phase="open", reason="http 503", until=200.0),
           LaneStatus(webhook="c/d", phase="closed")],
    lags=[LagStatus(name="x", line=2, offset=18, behind=5, seconds=1.0),
          LagStatus(name="-", line=0, offset=0, behind=None, seconds=0.0)],
)  # fmt: skip


class Said:
    """A relay that is well, until it is told otherwise."""

    def __init__(self) -> None:
        self.hangs = False
        self.reason: str | None = None
        self.damaged = False

    async def ping(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()

    def unready(self) -> str | None:
        return self.reason

    async def report(self) -> StatusSnapshot:
        if self.damaged:
            raise SpoolUnusable("the spool is damaged")
        counts = Counts(attempts={}, latency={}, bounds=(1.0,), dead={})
        return StatusSnapshot(spool=SPOOL, relay=RELAY, counts=counts)


async def ask(relay: Said, path: str) -> PageResponse:
    return await MonitoringPages(relay, Metrics(max_webhooks=10))(path, "")


async def test_ready_or_why_not() -> None:
    """/readyz is 200, or 503 with the reason."""
    relay = Said()
    assert HTTPStatus.OK is (await ask(relay, "/readyz")).status
    relay.reason = "the disk of the spool is full"
    page = await ask(relay, "/readyz")
    assert (HTTPStatus.SERVICE_UNAVAILABLE, b"the disk of the spool is full\n") == (page.status, page.body)
    assert HTTPStatus.OK is (await ask(relay, "/healthz")).status


async def test_healthy_while_its_parts_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """/healthz is 503 when the spool's thread does not answer any more."""
    monkeypatch.setattr(module, "HEALTH_SECONDS", 0.05)
    relay = Said()
    assert HTTPStatus.OK is (await ask(relay, "/healthz")).status
    relay.hangs = True
    page = await ask(relay, "/healthz")
    assert HTTPStatus.SERVICE_UNAVAILABLE is page.status
    assert b"does not respond" in page.body


async def test_a_spool_that_cannot_be_counted() -> None:
    """/metrics and /status say so with 503, and the others are served."""
    relay = Said()
    relay.damaged = True
    for path in ("/metrics", "/status"):
        page = await ask(relay, path)
        assert (HTTPStatus.SERVICE_UNAVAILABLE, b"the spool is damaged\n") == (page.status, page.body)
    assert HTTPStatus.OK is (await ask(relay, "/readyz")).status


async def test_other_paths() -> None:
    """What there is stands at /, and in the answer to a path that leads nowhere."""
    assert b"/metrics" in (await ask(Said(), "/")).body
    page = await ask(Said(), "/metric")
    assert HTTPStatus.NOT_FOUND is page.status
    assert b"/metrics" in page.body


async def test_status_is_the_published_document() -> None:
    """/status, with and without a relay, a holder that says nothing, or nothing at all, fits its schema."""
    validator = Draft202012Validator(load_schema("status"))
    served = json.loads((await ask(Said(), "/status")).body)
    bare = SpoolStatus(at=0.0, tally={})
    for document in (
        served,
        status_document(SPOOL, None),
        status_document(SPOOL, None, "process 7 since now"),
        status_document(bare, None),
        status_document(bare, RELAY, "process 7 since now"),
    ):
        assert [] == [error.message for error in validator.iter_errors(document)]
    assert ["a/b", "c/d"] == [one["webhook"] for one in served["webhooks"]]
    assert "open" == served["webhooks"][0]["lane"]["phase"]
    assert [5, None, None] == [(one["reading"] or {}).get("behindBytes") for one in served["sources"]]


def test_the_duplicate_window_that_holds() -> None:
    """It is the one that was asked for, until there are more records than may be kept: then it is their age."""
    few = SpoolStatus(at=0.0, tally={}, records=9, oldest_record=5.0)
    many = SpoolStatus(at=0.0, tally={}, records=10, oldest_record=5.0)
    old = SpoolStatus(at=0.0, tally={}, records=10, oldest_record=500.0)
    assert [60.0, 5.0, 60.0] == [effective_dedupe_window(spool, RELAY) for spool in (few, many, old)]
