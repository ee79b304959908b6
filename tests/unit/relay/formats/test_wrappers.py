"""Lines in the wrappers of container runtimes and of journald, in every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from builders import line
from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import FieldMapping, parse_mapping
from hookline.relay.formats.line_reader import MAX_WRAPPERS, read_line, read_with_format
from hookline.relay.formats.registry import AUTO_FORMATS
from hookline.relay.formats.wrappers import DOCKER_PART_BYTES

CASES = Path(__file__).parents[3] / "cases"
TIME = "2026-11-28T00:00:00.123456789Z"
PAYLOAD = (
    b'{"requestId":"REQ-0","imsOrg":"myImsOrg","sandbox":{"name":"prod"},"channel":"email",'
    b'"messageExecution":{"messageExecutionID":"HUMA-0"},"messageDeliveryFeedback":{"feedbackStatus":{"value":"sent"}}}'
)
Wrap = Callable[[bytes], bytes]


def cri(text: bytes, tag: str = "F") -> bytes:
    return f"{TIME} stdout {tag} ".encode() + text


def docker(text: bytes, end: str = "\n") -> bytes:
    return json.dumps({"log": text.decode() + end, "stream": "stderr", "time": TIME}).encode()


def journald(text: bytes) -> bytes:
    entry = {"__REALTIME_TIMESTAMP": "1779123685153125", "_HOSTNAME": "h", "MESSAGE": text.decode()}
    return json.dumps({**entry, "SYSLOG_IDENTIFIER": "app"}).encode()


def journald_bytes(text: bytes) -> bytes:
    return json.dumps({**json.loads(journald(b"")), "MESSAGE": list(text)}).encode()


WRAPS: list[Wrap] = [cri, docker, journald, journald_bytes]
SAMPLES = [
    pytest.param(data, id=path.parent.name)
    for path in sorted(CASES.glob("formats/*/*/input.ndjson"))
    if path.parent.name
    in ("batch-in-one-line", "sns-envelope", "webhook-envelope", "delivery", "form-encoded-callbacks")
    or path.parent.name in ("delivered-bounced-deferred", "batch", "batch-report-with-recipients", "json-callbacks")
    for data in path.read_bytes().splitlines()[:2]
] + [pytest.param(PAYLOAD, id="payload")]


def without_time(found: list[object]) -> list[object]:
    return [msgspec.structs.replace(one, time=None) if isinstance(one, Event) else one for one in found]


@pytest.mark.parametrize("data", SAMPLES)
@pytest.mark.parametrize("wrap", WRAPS)
def test_every_format_is_read_in_a_wrapper(data: bytes, wrap: Wrap) -> None:
    """The events are those of the line itself, in any format. Only an absent time is that of the wrapper."""
    expected, found = read_with_format(line(data)), read_with_format(line(wrap(data)))
    assert [name for name, _ in expected] == [name for name, _ in found]
    assert without_time([event for _, event in expected]) == without_time([event for _, event in found])


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_named_format_is_read_in_a_wrapper(wrap: Wrap) -> None:
    """Also quickly, and with the paths of --map, which find fields of the wrapper."""
    (event,) = read_line(line(wrap(PAYLOAD)), "payload")
    assert isinstance(event, Event)
    assert "REQ-0" == event.request_id
    assert (event.time or "").startswith("2026-")
    where = "time" if wrap in (cri, docker) else "_HOSTNAME"
    mapping = FieldMapping(paths=(parse_mapping(f"campaign={where}"),))
    (mapped,) = read_line(line(wrap(PAYLOAD)), "payload", mapping)
    assert isinstance(mapped, Event)
    assert mapped.campaign_id in (TIME, "h")


@pytest.mark.parametrize("text", [b"", b"Starting the server", b"17", b"Error: {", b'"text"', b"to=<a> only"])
@pytest.mark.parametrize("choice", ["auto", "payload"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_a_line_of_a_program_holds_no_event(text: bytes, choice: str, wrap: Wrap) -> None:
    """Other lines in a container's log are known, and skipped, also with a named format."""
    assert [Skipped("not_an_event")] == read_line(line(wrap(text)), choice)


@pytest.mark.parametrize("wrap", WRAPS)
def test_json_of_a_program_is_counted_by_name(wrap: Wrap) -> None:
    """Its name shows if it is an event after all."""
    found = read_line(line(wrap(b'[{"type":"request"},{"type":"email.bounced"}]')))
    assert [Skipped("not_an_event", "request"), Skipped("not_an_event", "email.bounced")] == found


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_result_that_is_not_understood_is_counted_in_a_wrapper(wrap: Wrap) -> None:
    """As it is without a wrapper."""
    assert [Skipped("unread_outcome")] == read_line(line(wrap(b"A1: to=<a@b>, new, status=sent (ok)")))


@pytest.mark.parametrize("wrap", WRAPS)
def test_broken_json_in_a_wrapper_is_rejected(wrap: Wrap) -> None:
    """It may have been an event."""
    (found,) = read_line(line(wrap(PAYLOAD[:-1])))
    assert isinstance(found, Rejected)


@pytest.mark.parametrize("data", [cri(PAYLOAD[:99], "P"), docker(PAYLOAD[:99], "")])
def test_the_beginning_of_a_cut_line_is_rejected_with_the_cause(data: bytes) -> None:
    """Runtimes cut long lines. The rest of it is no JSON and not rejected a second time."""
    (found,) = read_line(line(data))
    assert isinstance(found, Rejected)
    assert "cut the line" in found.reason
    assert [Skipped("not_an_event")] == read_line(line(cri(PAYLOAD[99:])))


FORM = b"MessageSid=SM1&MessageStatus=delivered&To=%2B15555550100&AccountSid=AC1"


def test_a_form_or_mail_line_in_a_part_is_rejected() -> None:
    """Its last field may lack its end: a shorter number is the number of somebody else."""
    (found,) = read_line(line(cri(FORM, "P")))
    assert isinstance(found, Rejected)
    assert "cut the line" in found.reason
    long = FORM + b"&x=" + b"1" * DOCKER_PART_BYTES
    assert isinstance(read_line(line(docker(long, "")))[0], Rejected)
    assert isinstance(read_line(line(docker(FORM, "")))[0], Event), "the last line of a container"


def test_wrappers_within_wrappers_end() -> None:
    """A container's log in a journal is read; a line that is wrapped without end is refused."""
    (event,) = read_line(line(journald(docker(cri(PAYLOAD)))))
    assert isinstance(event, Event)
    data = PAYLOAD
    for _ in range(MAX_WRAPPERS + 1):
        data = cri(data)
    (found,) = read_line(line(data))
    assert Rejected(f"more than {MAX_WRAPPERS} wrappers around one line") == found
    assert isinstance(read_line(line(cri(b"") * 20_000))[0], Rejected)


@pytest.mark.parametrize(
    "head",
    [
        b"Oct 10 01:23:46 h app[1]: ",
        b"<14>1 2026-10-10T01:23:46Z h app 1 - - ",
        b"2026-10-10T01:23:46Z h app: ",
        b"2026-11-28T00:00:00Z stdout F Oct 10 01:23:46 h app: ",
    ],
)
def test_json_in_a_syslog_line_is_read(head: bytes) -> None:
    """As in a journal. Other texts of programs hold no event, also with a bracket at the beginning."""
    mapping = FieldMapping(clock=lambda: 1795867200.0)
    (event,) = read_line(line(head + PAYLOAD), mapping=mapping)
    assert isinstance(event, Event)
    assert event.time is not None
    assert [Skipped("not_an_event", "request")] == read_line(line(head + b'{"type":"request"}'))
    assert [Skipped("not_an_event")] == read_line(line(head + b"{1}[Hardware Error]: event severity: corrected"))
    (found,) = read_line(line(head + PAYLOAD[:99]))
    assert isinstance(found, Rejected)


def test_a_dead_letter_among_events_is_named() -> None:
    """It is not rejected as an event that lacks a field."""
    letter = b'{"hookline":"dead-letter","version":1}'
    (_, found) = read_line(line(b"[" + PAYLOAD + b"," + letter + b"]"))
    assert isinstance(found, Rejected)
    assert "dead letter of hookline" in found.reason


def test_a_list_of_wrapped_lines_is_read() -> None:
    """Each item by itself."""
    found = read_line(line(b"[" + docker(PAYLOAD) + b"," + docker(b"Starting") + b"," + PAYLOAD + b"]"))
    assert ["Event", "Skipped", "Event"] == [type(one).__name__ for one in found]


@pytest.mark.parametrize("name", list(AUTO_FORMATS))
def test_a_wrapper_is_no_line_of_another_program(name: str) -> None:
    """A named format reads the content of a wrapper, and never the wrapper itself."""
    for wrap in WRAPS:
        found = read_line(line(wrap(b'{"hello":1}')), name)
        assert 1 == len(found)
        assert isinstance(found[0], Rejected)


@pytest.mark.parametrize("program", ["app", "docker/web", "local", "postfix/smtp", None])
def test_json_in_a_journal_is_read_whatever_the_program(program: str | None) -> None:
    """Container engines choose names with a slash; no program of a mail server begins a message with a brace."""
    entry = {**json.loads(journald(PAYLOAD)), "SYSLOG_IDENTIFIER": program}
    assert isinstance(read_line(line(json.dumps(entry).encode()))[0], Event)
