"""Finding what became of a request in a spool, and why it waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hookline.model import Address
from hookline.observe.report import LaneFacts, RelayFacts
from hookline.relay.fates import Delivery, Line
from hookline.relay.history import Failed, with_failure
from hookline.relay.identity import delivery_id, request_prefix
from hookline.relay.spool.admin import Traced
from hookline.relay.spool.port import Intake, Refused, Settlement, State, Taken, Wanted
from hookline.relay.spool.sqlite import SqliteSpool
from hookline.relay.spool.standings import Standings
from hookline.relay.spool.tracing import trace
from hookline.relay.waiting import why_waiting

ACME = Address("acme", "prod")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SqliteSpool]:
    opened = SqliteSpool(tmp_path, since="now")
    yield opened
    opened.close()


def delivery(request: str, content: bytes = b"1", *, key: int | None = None, detail: str | None = None) -> Delivery:
    return Delivery(
        id=delivery_id(b"seed", content, request), address=ACME, order_key=key, body=b'{"to":"ada@example.com"}',
        request_id=request, channel="email", status="sent", detail=detail,
    )  # fmt: skip


def put(spool: SqliteSpool, *deliveries: Delivery, rejected: bytes | None = None, now: float = 100.0) -> None:
    refused = [] if rejected is None else [Refused(Line(3, rejected, len(rejected)), 0, "not JSON")]
    spool.append(
        Intake(
            source="a.ndjson", position=None, read=len(deliveries) + len(refused), skipped={}, rejected=refused,
            deliveries=[Taken(n, one) for n, one in enumerate(deliveries, 1)],
        ),
        now=now, dedupe_window=60.0,
    )  # fmt: skip


def one(directory: Path, what: str) -> Traced:
    (found,) = trace(directory, what).deliveries
    return found


def test_all_events_of_a_request(spool: SqliteSpool, tmp_path: Path) -> None:
    """Every delivery of the request is found, in the order of reading, and none of another request."""
    put(spool, delivery("R-1", b"1"), delivery("R-2"), delivery("R-1", b"2"))
    found = trace(tmp_path, "R-1").deliveries
    assert [1, 3] == [each.line for each in found]
    assert {"R-1"} == {each.request_id for each in found}
    assert ("a.ndjson", 100.0, True, State.PENDING) == (
        found[0].source, found[0].read, found[0].exact, found[0].state,
    )  # fmt: skip


def test_requests_that_share_a_prefix(spool: SqliteSpool, tmp_path: Path) -> None:
    """Ids begin with 4 bytes of a hash; another request with the same ones is told apart by its name."""
    foreign = msgspec.structs.replace(delivery("R-2"), id=request_prefix("R-1") + b"x" * 12)
    put(spool, delivery("R-1"), foreign)
    assert "R-1" == one(tmp_path, "R-1").request_id


def test_by_delivery_id(spool: SqliteSpool, tmp_path: Path) -> None:
    """A whole delivery id finds its delivery, in upper case too; so do its first 8 digits, or 9, but not 7."""
    put(spool, delivery("R-1"), delivery("R-2"))
    identity = delivery("R-2").id.hex()
    for digits in (identity, identity.upper(), identity[:8], identity[:9]):
        assert "R-2" == one(tmp_path, digits).request_id
    assert not trace(tmp_path, identity[:7]).found
    assert not trace(tmp_path, identity + "0").found


def test_rejected_lines_that_hold_the_request(spool: SqliteSpool, tmp_path: Path) -> None:
    """A line that could not be read is found by the request id in it, also where JSON writes that otherwise."""
    put(spool, rejected=b'{"requestId":"R-1", broken')
    put(spool, rejected=b'{"requestId":"R-\\u00e9", broken')
    assert ["line-1"] == [line.id for line in trace(tmp_path, "R-1").lines]
    assert ["line-2"] == [line.id for line in trace(tmp_path, "R-é").lines]
    assert not trace(tmp_path, "R-2").found


def test_bytes_that_are_no_text_find_nothing(spool: SqliteSpool, tmp_path: Path) -> None:
    """An argument that is not UTF-8 is no error."""
    assert not trace(tmp_path, "R-\udcff").found


def test_history_and_end(spool: SqliteSpool, tmp_path: Path) -> None:
    """Failed attempts are told with time and status, and so is the end; the payload of a delivered one is gone."""
    put(spool, delivery("R-1"))
    [([item], _)] = spool.fresh([Wanted(ACME, 0, 1, True)])
    history = with_failure(None, Failed(101.0, 1, "http 503", 503))
    settled = Settlement(
        seq=item.seq, address=item.address, order_key=None, state=State.DELIVERED, attempts=2, tries=1, refusals=0,
        posts=2, http=204, history=history,
    )  # fmt: skip
    spool.settle([settled], now=105.0)
    found = one(tmp_path, "R-1")
    assert [Failed(101.0, 1, "http 503", 503)] == found.history
    assert (State.DELIVERED, 105.0, 2, 204, None) == (
        found.state, found.settled, found.attempts, found.http, found.body,
    )  # fmt: skip


def test_the_earlier_event_of_the_message_is_named(spool: SqliteSpool, tmp_path: Path) -> None:
    """What waits for an earlier event of its message names the first that is pending; the first names none."""
    put(spool, delivery("R-1", key=5), delivery("R-2", key=5), delivery("R-3", key=6))
    assert delivery("R-1").id.hex() == one(tmp_path, "R-2").predecessor
    assert one(tmp_path, "R-1").predecessor is one(tmp_path, "R-3").predecessor is None


def test_when_it_was_read_is_not_exact_after_a_pause(spool: SqliteSpool, tmp_path: Path) -> None:
    """An age that stood still does not tell any more when exactly that was."""
    put(spool, delivery("R-1"))
    with Standings(tmp_path) as standings:
        standings.pause(ACME, now=110.0)
        standings.resume(ACME, now=150.0)
    assert not one(tmp_path, "R-1").exact


# -- why it waits


def lane(phase: str = "open", *, reason: str | None = None, until: float | None = None, ordered: bool = True,
         disabled: bool = False) -> RelayFacts:  # fmt: skip
    facts = LaneFacts(webhook=str(ACME), phase=phase, reason=reason, until=until, ordered=ordered, disabled=disabled)
    return RelayFacts(version="1", process=1, started=0.0, at=0.0, lanes=[facts])


def why(one: Traced, relay: RelayFacts | None, *, held: bool = True, **changed: object) -> str:
    return why_waiting(msgspec.structs.replace(one, **changed), relay, held=held, now=1000.0)


def test_why_it_waits(spool: SqliteSpool, tmp_path: Path) -> None:
    """The strongest reason is named: by hand, by configuration, no relay, the gate, order, time, or its turn."""
    put(spool, delivery("R-1"))
    waiting = one(tmp_path, "R-1")
    shut = lane("waiting", reason="http 503", until=1060.0)
    assert "paused by hand, since 1970-01-01T00:00:05Z" in why(waiting, shut, paused=5.0)
    assert "disabled" in why(waiting, lane(disabled=True))
    assert "disabled" in why(waiting, None, held=False, disabled=True)
    assert "no relay is running" in why(waiting, None, held=False)
    assert "earlier event abc of its message" in why(waiting, shut, predecessor="abc")
    assert "alone until 1970-01-01T00:17:40Z: http 503" in why(waiting, shut)
    assert "one event at a time: http 503" in why(waiting, lane("probing", reason="http 503"))
    assert "stopped: http 410" in why(waiting, lane("stopped", reason="http 410"))
    assert "alone until 1970-01-01T00:17:40Z" in why(waiting, None, not_before=1060.0)
    assert "next attempt is at 1970-01-01T00:17:40Z" in why(waiting, lane(), due=1060.0)
    assert "its turn" in why(waiting, lane())
    assert "its turn" in why(waiting, lane(ordered=False), predecessor="abc")
    assert "not applied" in why(waiting, RelayFacts(version="1", process=1, started=0.0, at=0.0))
