"""Log lines about attempts, with the fields that docs/reference/logs.md documents, and the counters."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from builders import queued_delivery, settlement, webhook
from hookline.model import Address
from hookline.observe.log import Level, Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import AttemptRecord, Endpoint
from hookline.relay.delivery.attempt_log import AttemptLog
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.counters import LATENCY_BOUNDS, Counters, WebhookCounters, reason_class
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.response_policy import ConfirmOnce, Dead, Delivered, PauseEndpoint, PolicyAction, Retry
from hookline.relay.http.exchange import Attempt, ExchangeResult, Response
from hookline.relay.spool.spool_values import QueuedDelivery, Settlement, State

ADDRESS = Address("acme", "prod")


class Silent(Endpoint):
    """An endpoint that makes no attempt."""

    async def post(self, attempt: Attempt) -> ExchangeResult:
        return Response(204)

    def renew(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class NoListener:
    """A listener that ignores everything."""

    @property
    def recorder(self) -> NoListener:
        return self

    def settled(self, lane: Lane, item: QueuedDelivery, settlement: Settlement) -> None:
        pass

    def attempted(self, lane: Lane, item: QueuedDelivery, record: AttemptRecord) -> None:
        pass

    def phase_changed(self, lane: Lane, before: BreakerPhase) -> None:
        pass

    def request_refill(self, lane: Lane) -> None:
        pass

    def request_probe(self, lane: Lane) -> None:
        pass


class Desk:
    """An attempt log, a lane, and the lines that result."""

    def __init__(self, level: Level = "debug") -> None:
        self.lines: list[dict[str, Any]] = []
        log = Log(lambda line: self.lines.append(json.loads(line)), level=level, format="json", clock=lambda: 0.0)
        self.attempt_log = AttemptLog(log)
        self.lane = Lane(
            webhook(ADDRESS),
            Silent(),
            NoListener(),
            configuration_hash="",
            counters=WebhookCounters(),
            clock=RelayClock(wall=lambda: 0.0, even=lambda: 0.0),
            random=Random(1),
        )
        self.item = queued_delivery(id=b"\x01" * 16, body=b"ada@example.com", request_id="R-1")

    def attempt(self, action: PolicyAction, http: int | None, *, due: float | None = None) -> list[dict[str, Any]]:
        """Log the last attempt of a delivery and return its lines."""
        before = len(self.lines)
        self.attempt_log.attempted(self.lane, self.item, AttemptRecord(3, action, 0.0123, http))
        state = State.PENDING if due is not None else State.DELIVERED
        one = settlement(self.item, state, attempts=3, tries=3, due=due)
        self.attempt_log.settled(self.lane, self.item, one, 100.0)
        return self.lines[before:]


def test_one_wide_line_per_attempt() -> None:
    """The line has webhook, delivery, request, number, outcome, duration, reason and the time of the next attempt."""
    (line,) = Desk().attempt(Retry("http 503"), 503, due=104.25)
    assert {
        "time": "1970-01-01T00:00:00.000Z", "level": "info", "event": "attempt", "webhook": "acme/prod",
        "id": "01" * 16, "request": "R-1", "attempt": 3, "outcome": "retry", "http": 503, "milliseconds": 12.3,
        "reason": "http 503", "next": 4.2,
    } == line  # fmt: skip


def test_an_accepted_attempt_is_logged_at_debug_level() -> None:
    """Its line has the status and no reason. At level info there is none."""
    (line,) = Desk().attempt(Delivered(), 204)
    assert ("debug", "delivered", 204) == (line["level"], line["outcome"], line["http"])
    assert not {"reason", "next"} & line.keys()
    assert [] == Desk("info").attempt(Delivered(), 204)


def test_next_is_zero_before_a_confirming_attempt_and_absent_after_a_dead_letter() -> None:
    """A confirming attempt follows at once. After a dead letter none follows."""
    (line,) = Desk().attempt(ConfirmOnce("http 422"), 422)
    assert 0.0 == line["next"]
    (line,) = Desk().attempt(Dead("http 422"), 422)
    assert "next" not in line


def test_the_next_attempt_waits_for_an_open_breaker() -> None:
    """A retry that is due before the next probe waits for the probe."""
    desk = Desk()
    desk.lane.breaker.pause(100.0, "http 404")
    (line,) = desk.attempt(PauseEndpoint("http 404"), 404, due=100.0)
    assert round(desk.lane.breaker.until - 100.0, 1) == line["next"] > 0


def test_a_local_fault_is_logged_once() -> None:
    """A missing secret fails all attempts in flight. One warning appears, until the fault changes or is over."""
    desk = Desk()
    fault = PauseEndpoint("fault: secret file k: no such file")
    first, again = desk.attempt(fault, None, due=0.0), desk.attempt(fault, None, due=0.0)
    assert [("warning", "local fault"), ("info", "attempt")] == [(one["level"], one["event"]) for one in first]
    assert "secret file k: no such file" == first[0]["reason"]
    assert [("debug", "attempt")] == [(one["level"], one["event"]) for one in again]
    assert "local fault" == desk.attempt(PauseEndpoint("fault: another"), None, due=0.0)[0]["event"]
    assert "local fault is over" == desk.attempt(Delivered(), 204)[0]["event"]
    assert "local fault" == desk.attempt(fault, None, due=0.0)[0]["event"]


def test_the_end_of_a_fault_is_logged_without_debug_level() -> None:
    """The end of a fault is logged also if accepted attempts are not."""
    desk = Desk("warning")
    desk.attempt(PauseEndpoint("fault: x"), None, due=0.0)
    assert ["local fault is over"] == [one["event"] for one in desk.attempt(Delivered(), 204)]


def test_a_phase_change_is_logged() -> None:
    """The line has both phases, the reason, and the seconds until the next probe."""
    desk = Desk()
    desk.lane.breaker.failed(100.0, "http 429", network=False, wait=30.0)
    desk.attempt_log.phase_changed(desk.lane, BreakerPhase.CLOSED, 100.0)
    expected = {"event": "endpoint", "webhook": "acme/prod", "phase": "open", "before": "closed",
                "reason": "http 429", "next": 30.0}  # fmt: skip
    assert expected.items() <= desk.lines[0].items()


def test_reasons_have_classes() -> None:
    """The class of every reason is one of a few words."""
    classes = {
        "http 422": "http_422", "expired": "expired", "webhook deleted": "webhook_deleted",
        "refused as probe: http 404": "refused_as_probe", "http 999": "other", "network: ada@example.com": "other",
    }  # fmt: skip
    assert classes == {reason: reason_class(reason) for reason in classes}
    assert "other" == reason_class(None)


def test_counters() -> None:
    """Attempts and latencies are counted by webhook, across configurations, and dead letters by reason."""
    counters = Counters()
    own = counters.of(ADDRESS)
    own.latency.add(0.3)
    own.latency.add(0.3)
    own.attempts["retry"] += 1
    counters.add_dead("http 422")
    counters.add_dead("expired", 5)
    assert own is counters.of(ADDRESS)
    counts = counters.snapshot()
    assert {("acme/prod", "retry"): 1} == counts.attempts
    assert {"http_422": 1, "expired": 5} == counts.dead
    assert (2, 0.6) == (
        counts.latency["acme/prod"].buckets[LATENCY_BOUNDS.index(0.5)],
        counts.latency["acme/prod"].seconds,
    )
