"""Dead letters as lines of a file: the same when they come back, and refused when somebody has tampered with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import line
from hookline.model import Address
from hookline.relay.delivery_record import (
    WHOLE_LINE,
    DeadDelivery,
    DeadLetter,
    DeadLine,
    Delivery,
    FailedAttempt,
    Rejected,
    add_failure,
    add_replay,
)
from hookline.relay.event import Event, payload_bytes
from hookline.relay.formats.dead_letter_json import dead_letter_document, dead_letter_line, parse_exported_line
from hookline.relay.formats.json_decoding import MAX_JSON_DEPTH
from hookline.relay.formats.line_reader import read_line
from hookline.relay.ids import request_prefix

ACME = Address("acme", "prod")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TIMES = st.integers(0, 2**31 * 1000).map(lambda milliseconds: milliseconds / 1000)


def delivery(*, offers: Any = None, request_id: str = "r", at: float = 5.5, reason: str = "http 422") -> DeadDelivery:
    event = Event(channel="email", status="sent", offers=offers, identity_map={"email": [{"id": "a@b.example"}]})
    return DeadDelivery(
        id=request_prefix(request_id) + b"0123456789ab", at=at, reason=reason, http=422, attempts=2,
        history=add_replay(add_failure(None, FailedAttempt(1.25, 1, reason, 422)), 2.5), webhook=ACME,
        request_id=request_id, channel="email", status="sent", event_time="2026-05-18T17:01:25Z", detail="bounced",
        source="events", line=3,
        body=payload_bytes(event, address=ACME, sandbox_id="s", campaign_id=None, request_id=request_id),
    )  # fmt: skip


def rejected(data: bytes, *, length: int | None = None, part: int = 0) -> DeadLine:
    return DeadLine(
        n=7, at=5.5, reason="not JSON", source="events", line=3, part=part, data=data,
        length=len(data) if length is None else length, sha256=hashlib.sha256(data).digest(),
    )  # fmt: skip


@given(JSON, st.text(min_size=1, max_size=20), TIMES, st.text(max_size=100))
def test_a_delivery_comes_back_as_it_went_out(offers: Any, request_id: str, at: float, reason: str) -> None:
    """Every field, and the payload byte by byte, whatever the source has put into it."""
    letter = delivery(offers=offers, request_id=request_id, at=at, reason=reason)
    assert letter == parse_exported_line(dead_letter_line(letter).rstrip(b"\n"))


@given(st.binary(max_size=100))
def test_a_line_comes_back_as_it_went_out(data: bytes) -> None:
    """Also with bytes that are no text."""
    assert rejected(data) == parse_exported_line(dead_letter_line(rejected(data)))
    endless = rejected(data, length=2 << 20)
    assert endless == parse_exported_line(dead_letter_line(endless))


def test_another_spelling_is_the_same_letter() -> None:
    """A tool that sorts keys and indents changes nothing of what is sent."""
    document = json.loads(dead_letter_line(delivery(offers=[1.5, "é"])))
    assert delivery(offers=[1.5, "é"]) == parse_exported_line(json.dumps(document, sort_keys=True, indent=1).encode())


FIELDS = [*dead_letter_document(delivery()), *dead_letter_document(rejected(b"x"))]


@given(st.sampled_from([delivery(), rejected(b"x")]), st.sampled_from(FIELDS), JSON)
def test_whatever_stands_in_a_field_nothing_fails(letter: DeadLetter, field: str, value: Any) -> None:
    """A letter, or what is wrong with it: in an import and in a relay."""
    data = json.dumps({**json.loads(dead_letter_line(letter)), field: value}).encode()
    assert isinstance(parse_exported_line(data), DeadDelivery | DeadLine | Rejected)
    assert 1 == len(read_line(line(data), "dead-letter"))


@given(st.binary(max_size=100))
def test_whatever_the_bytes_are_nothing_fails(data: bytes) -> None:
    """What is no dead letter is refused."""
    assert isinstance(parse_exported_line(data), Rejected)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"webhook": "acme"}, "webhook: not an address"),
        ({"webhook": "evil/prod"}, "payload.imsOrg"),
        ({"webhook": "acme/stage"}, "payload.sandbox.name"),
        ({"requestId": "other"}, "payload.requestId"),
        ({"channel": "sms"}, "payload.channel"),
        ({"status": "bounce"}, "payload.messageDeliveryFeedback"),
        ({"channel": "push"}, "channel"),
        ({"id": "ab" * 16}, "id: it does not belong"),
        ({"id": "AB" * 16}, "id: "),
        ({"id": "ab"}, "id: "),
        ({"attempts": -1}, "attempts"),
        ({"httpStatus": 7}, "httpStatus"),
        ({"time": "2026-05-18T17:01:25"}, "time: not a moment"),
        ({"time": "0001-01-01T00:00:00Z"}, "time: not a moment"),
        ({"time": "9999-12-31T23:59:59-14:00"}, "time: not a moment"),
        ({"time": "9999-12-31T23:59:59.999999Z"}, "time: not a moment"),
        ({"time": "1970-01-01T00:00:00+14:00"}, "time: not a moment"),
        ({"history": [{"time": "2026-05-18T17:01:25Z"}]}, "history"),
        ({"reason": "x" * 5000}, "reason"),
        ({"surprise": 1}, "surprise"),
        ({"version": 2}, "version"),
        ({"payload": {}}, "payload"),
    ],
)
def test_a_letter_that_contradicts_itself_is_refused(change: dict[str, Any], fault: str) -> None:
    """The reason names the field; nobody sends one webhook's payload to another by editing a file."""
    read = parse_exported_line(json.dumps({**json.loads(dead_letter_line(delivery())), **change}).encode())
    assert isinstance(read, Rejected)
    assert fault in read.reason


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"text": "y"}, "sha256: the line is not the one"),
        ({"bytes": 2}, "bytes: not the length"),
        ({"base64": "eA=="}, "either a text or a base64"),
        ({"text": None, "base64": "?"}, "base64: not base64"),
        ({"sha256": "00"}, "sha256"),
        ({"part": -1}, "part"),
        ({"time": "9999-12-31T23:59:59-14:00"}, "time: not a moment"),
    ],
)
def test_a_line_that_contradicts_itself_is_refused(change: dict[str, Any], fault: str) -> None:
    """What was rejected once is kept as it was, or not at all."""
    read = parse_exported_line(json.dumps({**json.loads(dead_letter_line(rejected(b"x"))), **change}).encode())
    assert isinstance(read, Rejected)
    assert fault in read.reason


def test_a_relay_sends_a_letter_under_its_own_id() -> None:
    """Read as a line, a delivery is what it was, but for its place in the order of its message."""
    letter = delivery()
    data = dead_letter_line(letter).rstrip(b"\n")
    (read,) = read_line(line(data), "dead-letter")
    assert isinstance(read, Delivery)
    assert (letter.id, letter.webhook, letter.body, None) == (read.id, read.address, read.body, read.order_key)


def test_the_deepest_payload_can_be_relayed_again() -> None:
    """What was just shallow enough to be read stays so within its letter, which is one level more."""
    offers: Any = "x"
    for _ in range(MAX_JSON_DEPTH - 2):
        offers = [offers]
    data = dead_letter_line(delivery(offers=offers)).rstrip(b"\n")
    assert isinstance(read_line(line(data), "dead-letter")[0], Delivery)


def test_a_relay_reads_the_rejected_event_of_a_line() -> None:
    """Of a line within a letter, the event that is meant. A letter in a letter is refused, as is an endless line."""
    event = {"channel": "sms", "messageDeliveryFeedback": {"feedbackStatus": {"value": "sent"}}}
    inner = dead_letter_line(rejected(json.dumps(event).encode())).rstrip(b"\n")
    (read,) = read_line(line(inner), "dead-letter")
    assert isinstance(read, Event)
    assert "sms" == read.channel
    (refused,) = read_line(line(dead_letter_line(rejected(inner)).rstrip(b"\n")), "dead-letter")
    assert isinstance(refused, Rejected)
    second = dead_letter_line(rejected(json.dumps(event).encode(), part=1))
    assert [Rejected("the line contains fewer events than before")] == read_line(line(second), "dead-letter")
    both = dead_letter_line(rejected(json.dumps([event, event]).encode(), part=WHOLE_LINE))
    assert json.loads(both)["part"] is None
    assert WHOLE_LINE == parse_exported_line(both.rstrip(b"\n")).part  # type: ignore[union-attr]
    endless = dead_letter_line(rejected(b"{", length=2 << 20))
    (refused,) = read_line(line(endless), "dead-letter")
    assert isinstance(refused, Rejected)
    assert "too long" in refused.reason


@pytest.mark.parametrize(
    "wrap",
    [
        lambda data: data,
        lambda data: b"[" + data + b"]",
        lambda data: b"2026-11-28T00:00:00Z stdout F " + data,
        lambda data: json.dumps({"log": data.decode() + "\n", "stream": "stdout", "time": "x"}).encode(),
        lambda data: json.dumps({"MESSAGE": data.decode(), "_HOSTNAME": "h"}).encode(),
        lambda data: b'{"specversion":"1.0","type":"x","source":"y","id":"1","data":' + data + b"}",
    ],
    ids=["alone", "in a list", "cri", "docker", "journald", "in a CloudEvent"],
)
@pytest.mark.parametrize("choice", ["auto", "payload", "cloudevents"])
def test_a_log_cannot_contain_a_dead_letter(wrap: Callable[[bytes], bytes], choice: str) -> None:
    """A dead letter carries a webhook and an id of its own, so no log that others write may contain one."""
    for letter in (delivery(), rejected(json.dumps({"event": "delivered"}).encode())):
        (read,) = read_line(line(wrap(dead_letter_line(letter).rstrip(b"\n"))), choice)
        assert isinstance(read, Rejected)


def test_a_dead_letter_in_a_log_is_rejected_with_the_next_step() -> None:
    """The reason names the commands that read dead letters."""
    (read,) = read_line(line(dead_letter_line(delivery()).rstrip(b"\n")))
    assert Rejected("a dead letter of hookline: `hookline dead import` and --format dead-letter read it") == read
