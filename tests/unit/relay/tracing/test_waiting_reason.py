"""The reason why a pending delivery is not sent now."""

from __future__ import annotations

import msgspec

from hookline.model import Address
from hookline.observe.snapshot import LaneStatus, ProcessStatus, RelayStatus, SpoolProcesses
from hookline.relay.spool.admin import TracedDelivery
from hookline.relay.spool.spool_values import State
from hookline.relay.tracing.waiting_reason import why_waiting, why_waiting_anywhere

ACME = Address("acme", "prod")


WAITING = TracedDelivery(
    id="a1", webhook=str(ACME), channel="email", status="sent", detail=None, request_id="R-1", source="a.ndjson",
    line=1, read=100.0, exact=True, event_time=None, state=State.PENDING, attempts=0, due=None, settled=None,
    reason=None, http=None, history=[], body=b"{}", disabled=False, paused=None,
    not_before=None, predecessor=None,
)  # fmt: skip


def lane(phase: str = "closed", *, reason: str | None = None, until: float | None = None, ordered: bool = True,
         disabled: bool = False) -> RelayStatus:  # fmt: skip
    facts = LaneStatus(webhook=str(ACME), phase=phase, reason=reason, until=until, ordered=ordered, disabled=disabled)
    return RelayStatus(version="1", process=1, started=0.0, at=0.0, lanes=[facts])


def why(one: TracedDelivery, relay: RelayStatus | None, *, held: bool = True, **changed: object) -> str:
    reason = why_waiting(msgspec.structs.replace(one, **changed), relay, held=held, now=1000.0)
    assert reason is not None
    return reason


def test_why_it_waits() -> None:
    """The strongest reason wins: pause, configuration, no relay, circuit breaker, order, time, earlier deliveries."""
    waiting = WAITING
    shut = lane("open", reason="http 503", until=1060.0)
    assert "paused its webhook at 1970-01-01T00:00:05Z" in why(waiting, shut, paused=5.0)
    assert "disabled" in why(waiting, lane(disabled=True))
    assert "disabled" in why(waiting, None, held=False, disabled=True)
    assert "no relay is running" in why(waiting, None, held=False)
    assert "earlier event abc of its message" in why(waiting, shut, predecessor="abc")
    assert "circuit breaker of its endpoint is open until 1970-01-01T00:17:40Z: http 503" in why(waiting, shut)
    assert "one event at a time: http 503" in why(waiting, lane("half_open", reason="http 503"))
    assert "gone: http 410" in why(waiting, lane("gone", reason="http 410"))
    assert "requested a pause until 1970-01-01T00:17:40Z" in why(waiting, None, not_before=1060.0)
    assert "next attempt is at 1970-01-01T00:17:40Z" in why(waiting, lane(), due=1060.0)
    assert "earlier deliveries" in why(waiting, lane())
    assert "earlier deliveries" in why(waiting, lane(ordered=False), predecessor="abc")
    assert "not applied" in why(waiting, RelayStatus(version="1", process=1, started=0.0, at=0.0))


def test_a_delivery_in_flight() -> None:
    """A delivery that is being attempted does not wait for anything else, in every phase of its circuit breaker."""
    facts = LaneStatus(webhook=str(ACME), phase="half_open", reason="http 503", in_flight=1, attempting=["a1"])
    relay = RelayStatus(version="1", process=1, started=0.0, at=0.0, lanes=[facts])
    assert "in flight" == why(WAITING, relay)
    assert "in flight" not in why(WAITING, relay, id="b2")


def test_why_it_waits_in_a_shared_spool() -> None:
    """The owner of the webhook's slot knows the reason; without a living owner, that is the reason."""
    status = lane("open", reason="http 503", until=1060.0)
    owner = ProcessStatus(host="a", pid=7, slots=[3], lease_seconds=5.0, status=status)
    other = ProcessStatus(host="b", pid=8, slots=[4], lease_seconds=5.0, status=lane())
    gone = msgspec.structs.replace(owner, lease_seconds=-1.0)
    waiting = msgspec.structs.replace(WAITING, slot=3)

    def shared(*processes: ProcessStatus) -> str | None:
        return why_waiting_anywhere(waiting, SpoolProcesses(processes=processes, slots=64), now=1000.0)

    assert "open until 1970-01-01T00:17:40Z: http 503" in str(shared(other, owner))
    assert "a/7, which owns its slot 3, is gone; another process takes the slot over" == shared(other, gone)
    assert "no process owns its slot 3" == shared(other)
