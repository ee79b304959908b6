"""What providers' events come to in places where their documentation has the odd example, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import line
from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import NO_MAPPING, FieldMapping, parse_mapping
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.line_reader import read_line


def read(document: object, *mappings: str, format: str = "auto") -> list[ParsedEvent]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    hints = FieldMapping(paths=tuple(map(parse_mapping, mappings))) if mappings else NO_MAPPING
    return read_line(line(data), format, hints)


def event(document: object, *mappings: str, format: str = "auto") -> Event:
    (found,) = read(document, *mappings, format=format)
    assert isinstance(found, Event), found
    return found


def postmark(**more: object) -> dict[str, Any]:
    return {"RecordType": "Bounce", "Type": "SoftBounce", "MessageID": "m", "Email": "a@example.com", **more}


def sinch(**more: object) -> dict[str, Any]:
    return {"type": "recipient_delivery_report_sms", "batch_id": "b", "status": "Delivered", **more}


def ses(kind: str, **more: object) -> dict[str, Any]:
    return {"eventType": kind, "mail": {"messageId": "m", "destination": ["a@example.com", "b@example.com"]}, **more}


@pytest.mark.parametrize("number", [10**18, 4323372036854775807, 2**64 - 1, 2**80])
def test_ids_may_be_long_numbers(number: int) -> None:
    """Ids of 64 bits (snowflakes, and the one in Postmark's own documentation) are ids like any other."""
    assert f"postmark:{number}" == event(postmark(ID=number)).identity
    assert str(number) == event(postmark(n=number), "requestId=n").request_id


def test_two_bounces_of_one_message_are_two_events() -> None:
    """Only their long ids tell them apart."""
    first, second = (event(postmark(ID=4323372036854775800 + n)) for n in (1, 2))
    assert first.identity != second.identity


@pytest.mark.parametrize("number", [1e300, 2.0**53 * 2, 10**4000])
def test_what_no_id_can_be_is_none(number: float) -> None:
    """A fraction that may have lost digits, and a number without end, name nothing."""
    assert event(postmark(ID=number)).identity is None


@pytest.mark.parametrize(
    "document",
    [
        sinch(),
        {"RecordType": "Delivery", "MessageID": "m"},
        ses("Delivery", delivery={"recipients": [""]}),
        {"MessageSid": "SM1", "MessageStatus": "delivered"},
        {"event": "delivered", "id": "e", "timestamp": 1, "message": {}},
    ],
    ids=["sinch", "postmark", "ses", "twilio", "mailgun"],
)
def test_mapped_recipients_are_different_events(document: dict[str, Any]) -> None:
    """Where the recipient stands elsewhere, it belongs to the identity all the same; read again it is the same."""
    found = [event({**document, "who": who}, "recipient=who") for who in ("+1555", "+1666", "+1555")]
    keys = [(one.identity, json.dumps(one.identity_map)) for one in found]
    assert keys[0] == keys[2] != keys[1]
    if "MessageSid" not in document and "event" not in document:
        assert found[0].identity != found[1].identity


def test_mapped_number_is_the_profiles_number() -> None:
    """Structure 2 of the payload names it too."""
    further = event(sinch(who="+1555"), "recipient=who").further
    assert further is not None
    assert "+1555" == further.profile_number


def test_ses_delivery_says_to_whom() -> None:
    """Who was written to is not who got it: without the part that says so, nobody is reported to have it."""
    assert [Rejected("delivery: missing")] == read(ses("Delivery"))


def test_postmarks_words_are_of_their_own_field() -> None:
    """A type of a bounce is no record, and a record is no type of a bounce."""
    assert [Skipped("status_not_relayed", "Delivery")] == read(postmark(Type="Delivery"))
    assert [Skipped("status_not_relayed", "HardBounce")] == read(postmark(RecordType="HardBounce"))


@pytest.mark.parametrize(
    "document",
    [
        {"event": "opened", "id": "e", "timestamp": 1, "recipient": "a@example.com", "message": None},
        {"event": "opened", "id": "e", "timestamp": 1, "recipient": "a@example.com", "message": {"headers": 5}},
        {"event": "failed", "severity": "temporary", "id": "e", "timestamp": 1, "recipient": 7},
        {"event": "open", "email": "a@example.com", "timestamp": {}},
        ses("Open", bounce={"bouncedRecipients": None}),
        {"RecordType": "Open", "MessageID": 5},
        postmark(Type="AutoResponder", Details={}),
        {"msys": {"track_event": {"type": "open", "event_id": [], "rcpt_to": "a@example.com"}}},
        sinch(status="Queued", recipient="1", at=5),
    ],
)
def test_what_is_not_relayed_is_skipped_whatever_else_it_holds(document: object) -> None:
    """The status is looked at first: an event that nobody is told of needs no sound fields."""
    (found,) = read(document)
    assert isinstance(found, Skipped)
    assert "status_not_relayed" == found.reason
    assert found.name


@pytest.mark.parametrize(
    ("document", "recipient"),
    [
        ({"event": "delivered", "id": "e", "timestamp": 1, "recipient": "a", "message": None, "flags": None}, "a"),
        ({"event": "rejected", "id": "e", "timestamp": 1, "message": {"headers": {"to": "a"}}, "flags": None}, "a"),
        ({"event": "delivered", "id": "e", "timestamp": 1, "recipient": "a", "message": {"headers": None}}, "a"),
        (ses("Delivery", delivery={"recipients": ["a"]}, mail={"messageId": "m", "destination": None}), "a"),
        (sinch(recipient="a", statuses=None), "a"),
        (
            {"type": "delivery_report_sms", "batch_id": "b"}
            | {"statuses": [{"status": "Failed", "recipients": None}, {"status": "Delivered", "recipients": ["a"]}]},
            "a",
        ),
    ],
)
def test_null_is_as_good_as_absent(document: object, recipient: str) -> None:
    """Senders that write null where there is nothing are read."""
    assert recipient == next(iter((event(document).identity_map or {}).values()))[0]["id"]


def test_journals_messages_that_are_no_utf8() -> None:
    """journald writes the bytes of such a message one by one."""
    message = b"4F9D195432C: to=<caf\xe9@example.com>, relay=none, dsn=5.1.1, status=bounced (550 caf\xc3\xa9)"
    entry = {
        "_HOSTNAME": "mx1",
        "SYSLOG_IDENTIFIER": "postfix/smtp",
        "MESSAGE": list(message),
        "__REALTIME_TIMESTAMP": "1700000000000000",
    }
    found = event(entry)
    assert {"email": [{"id": "caf\ufffd@example.com", "primary": True}]} == found.identity_map
    assert "550 caf\u00e9" == found.detail
    odds: list[list[object]] = [[256], ["a"], [-1], [True, 1.5], [[]]]
    for odd in odds:
        assert [Skipped("not_an_event")] == read({**entry, "MESSAGE": odd})


@pytest.mark.parametrize("text", ["- x y", "- a list, of sorts", "<1>- x y"])
def test_a_dash_alone_is_no_syslog(text: str) -> None:
    """Only after its version may RFC 5424's time be a dash; other lines are told why they cannot be read."""
    (found,) = read(text.encode())
    assert isinstance(found, Rejected)
    assert [Skipped("not_an_event")] == read(b"<34>1 - mx1 app 1 - - hello")


@pytest.mark.parametrize(
    ("document", "code", "kind"),
    [
        (postmark(Details="smtp;550 rejected by FooMTA 2.4.1 user unknown", Type="HardBounce"), "30", "Hard"),
        ({"event": "bounce", "email": "a", "timestamp": 1, "type": "bounce", "status": ""}
         | {"reason": "550 rejected by FooMTA 2.4.1 user unknown"}, "30", "Hard"),
        ({"event": "bounce", "email": "a", "timestamp": 1, "type": "bounce", "status": "2.0.0"}
         | {"reason": "550 5.1.1 unknown"}, "10", "Hard"),
        (b"Oct 11 22:14:15 mx1 postfix/smtp[2]: 4F9D: to=<a@example.com>, relay=x, dsn=2.0.0, status=bounced "
         b"(host x said: 550 no)", "30", "Hard"),
    ],
)  # fmt: skip
def test_a_failure_has_no_status_of_a_success(document: object, code: str, kind: str) -> None:
    """A number like 2.4.1 in the text of a failure is some program's version: the reply code counts then."""
    failure = event(document).failure
    assert failure is not None
    assert (code, kind) == (failure.code, failure.type)


def test_a_mapped_recipient_has_priority() -> None:
    """--map recipient names another field than the format's; the identity keeps the provider's own recipient."""
    odd = event(postmark(RecordType="Delivery", who="other@example.com"), "recipient=who")
    usual = event(postmark(RecordType="Delivery", who="other@example.com"))
    assert {"email": [{"id": "other@example.com", "primary": True}]} == odd.identity_map
    assert {"email": [{"id": "a@example.com", "primary": True}]} == usual.identity_map
    assert odd.identity == usual.identity


def test_events_beside_each_other_in_one_sparkpost_envelope_are_read() -> None:
    """Each of them, not only the first."""
    one = {"type": "delivery", "event_id": "1", "rcpt_to": "a@example.com"}
    two = {"type": "bounce", "event_id": "2", "rcpt_to": "b@example.com", "bounce_class": "10"}
    found = read({"msys": {"message_event": one, "other_event": two}})
    assert ["delivered", "bounce"] == [item.status for item in found if isinstance(item, Event)]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (
            [{"hello": 1}, postmark(), {"Type": "SubscriptionConfirmation", "TopicArn": "t"}],
            ["Skipped", "Event", "Skipped"],
        ),
        ([sinch(recipient="1"), "text", ses("Send")], ["Event", "Skipped", "Event", "Event"]),
        ([postmark(), "text"], ["Event", "Rejected"]),
        ([postmark(), {"RecordType": "Delivery"}], ["Event", "Rejected"]),
        ([[postmark()]], ["Event"]),
        (
            [[postmark(), postmark()], ["text"], [[postmark()], {}]],
            ["Event", "Event", "Rejected", "Event", "Rejected"],
        ),
    ],
)
def test_items_of_a_list_are_recognized_one_by_one(items: list[object], expected: list[str]) -> None:
    """In any order, in several formats; with one format, an item that it refuses is rejected and kept."""
    assert expected == [type(one).__name__ for one in read(items)]
