"""What the log says of attempts, with the fields that docs/reference/logs.md promises."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from builders import queued_delivery, settlement, webhook
from hookline.model import Address
from hookline.observe.log import Level, Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import AttemptRecord
from hookline.relay.delivery.attempt_log import AttemptLog
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.counters import LATENCY_BOUNDS, Counters, WebhookCounters, reason_class
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.response_policy import ConfirmOnce, Dead, Delivered, PauseEndpoint, PolicyAction, Retry
from hookline.relay.http.exchange import Attempt, ExchangeResult, Response
from hookline.relay.spool.spool import QueuedDelivery, Settlement, State

ADDRESS = Address("acme", "prod")


class Silent:
    """An endpoint that is never asked."""

    async def post(self, attempt: Attempt) -> ExchangeResult:
        return Response(204)

    def renew(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class Deaf:
    """A listener for whom nothing happens."""

    def settled(self, lane: Lane, item: QueuedDelivery, settlement: Settlement) -> None:
        pass

    def attempted(self, lane: Lane, item: QueuedDelivery, tried: AttemptRecord) -> None:
        pass

    def phase_changed(self, lane: Lane, before: BreakerPhase) -> None:
        pass

    def request_refill(self, lane: Lane) -> None:
        pass


class Desk:
    """Telling, with a lane to tell about and the lines that come of it."""

    def __init__(self, level: Level = "debug") -> None:
        self.lines: list[dict[str, Any]] = []
        log = Log(lambda line: self.lines.append(json.loads(line)), level=level, format="json", clock=lambda: 0.0)
        self.telling = AttemptLog(log)
        self.lane = Lane(
            webhook(ADDRESS),
            Silent(),
            Deaf(),
            configuration="",
            counters=WebhookCounters(),
            clock=RelayClock(wall=lambda: 0.0, even=lambda: 0.0),
            random=Random(1),
        )
        self.item = queued_delivery(id=b"\x01" * 16, body=b"ada@example.com", request_id="R-1")

    def attempt(self, verdict: PolicyAction, http: int | None, *, due: float | None = None) -> list[dict[str, Any]]:
        """One that ends the turn; the lines of it."""
        before = len(self.lines)
        self.telling.attempted(self.lane, self.item, AttemptRecord(3, verdict, 0.0123, http))
        state = State.PENDING if due is not None else State.DELIVERED
        one = settlement(self.item, state, attempts=3, tries=3, due=due)
        self.telling.settled(self.lane, self.item, one, 100.0)
        return self.lines[before:]


def test_one_wide_line_an_attempt() -> None:
    """It says where, what, for whom, which attempt, how it ended and how long it took, and when the next one is."""
    (line,) = Desk().attempt(Retry("http 503"), 503, due=104.25)
    assert {
        "time": "1970-01-01T00:00:00.000Z", "level": "info", "event": "attempt", "webhook": "acme/prod",
        "id": "01" * 16, "request": "R-1", "attempt": 3, "outcome": "retry", "http": 503, "milliseconds": 12.3,
        "reason": "http 503", "next": 4.2,
    } == line  # fmt: skip


def test_an_accepted_attempt_is_for_debugging() -> None:
    """It is told at debug level, with its status and without a reason."""
    (line,) = Desk().attempt(Delivered(), 204)
    assert ("debug", "delivered", 204) == (line["level"], line["outcome"], line["http"])
    assert not {"reason", "next"} & line.keys()
    assert [] == Desk("info").attempt(Delivered(), 204)


def test_what_is_repeated_at_once_and_what_never() -> None:
    """A confirming attempt follows at once, after a dead letter there is none."""
    (line,) = Desk().attempt(ConfirmOnce("http 422"), 422)
    assert 0.0 == line["next"]
    (line,) = Desk().attempt(Dead("http 422"), 422)
    assert "next" not in line


def test_a_closed_gate_is_what_the_next_attempt_waits_for() -> None:
    """A retry that is due before its endpoint is tried again waits for that."""
    desk = Desk()
    desk.lane.breaker.held(100.0, "http 404")
    (line,) = desk.attempt(PauseEndpoint("http 404"), 404, due=100.0)
    assert round(desk.lane.breaker.until - 100.0, 1) == line["next"] > 0


def test_a_fault_of_ours_is_said_once() -> None:
    """A missing secret fails everything in flight: one warning, then debug, until it changes or is over."""
    desk = Desk()
    fault = PauseEndpoint("fault: secret file k: no such file")
    first, again = desk.attempt(fault, None, due=0.0), desk.attempt(fault, None, due=0.0)
    assert [("warning", "fault"), ("info", "attempt")] == [(one["level"], one["event"]) for one in first]
    assert "secret file k: no such file" == first[0]["reason"]
    assert [("debug", "attempt")] == [(one["level"], one["event"]) for one in again]
    assert "fault" == desk.attempt(PauseEndpoint("fault: another"), None, due=0.0)[0]["event"]
    assert "fault is over" == desk.attempt(Delivered(), 204)[0]["event"]
    assert "fault" == desk.attempt(fault, None, due=0.0)[0]["event"]


def test_the_end_of_a_fault_is_said_without_debugging() -> None:
    """Also where accepted attempts are not told."""
    desk = Desk("warning")
    desk.attempt(PauseEndpoint("fault: x"), None, due=0.0)
    assert ["fault is over"] == [one["event"] for one in desk.attempt(Delivered(), 204)]


def test_a_gate_that_changes_its_phase() -> None:
    """The line names both phases, the reason, and in how many seconds it is tried again."""
    desk = Desk()
    desk.lane.breaker.failed(100.0, "http 429", network=False, wait=30.0)
    desk.telling.phase_changed(desk.lane, BreakerPhase.CLOSED, 100.0)
    expected = {"event": "endpoint", "webhook": "acme/prod", "phase": "open", "before": "closed",
                "reason": "http 429", "next": 30.0}  # fmt: skip
    assert expected.items() <= desk.lines[0].items()


# -- counted


def test_reasons_are_classed() -> None:
    """Whatever a reason says, its class is one of a few words."""
    classes = {
        "http 422": "http_422", "expired": "expired", "webhook deleted": "webhook_deleted",
        "refused as probe: http 404": "refused_as_probe", "http 999": "other", "network: ada@example.com": "other",
    }  # fmt: skip
    assert classes == {reason: reason_class(reason) for reason in classes}
    assert "other" == reason_class(None)


def test_counters() -> None:
    """Attempts and latencies are of a webhook, whatever becomes of its configuration; deaths are by reason."""
    counters = Counters()
    own = counters.of(ADDRESS)
    own.latency.add(0.3)
    own.latency.add(0.3)
    own.attempts["retry"] += 1
    counters.died("http 422")
    counters.died("expired", 5)
    assert own is counters.of(ADDRESS)
    copied = counters.copied()
    assert {("acme/prod", "retry"): 1} == copied.attempts
    assert {"http_422": 1, "expired": 5} == copied.dead
    assert (2, 0.6) == (
        copied.latency["acme/prod"].buckets[LATENCY_BOUNDS.index(0.5)],
        copied.latency["acme/prod"].seconds,
    )
