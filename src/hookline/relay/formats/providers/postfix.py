"""Postfix's log: the lines in which smtp, lmtp, local and other delivery agents report the result for a recipient.

https://www.postfix.org/postconf.5.html, RFC 3463 for `dsn`. All other lines of Postfix, and lines of other programs
in the same log, contain no event. A line is a syslog line in the form of RFC 3164 or RFC 5424, or an entry of
journald.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import classify, email_failure, is_permanent
from hookline.relay.formats.format import LineText, ParsedEvent
from hookline.relay.formats.provider_event import complete_event, recipient_of

NAME = "postfix"

STATUSES: Mapping[str, str] = {"sent": "delivered", "bounced": "bounce", "expired": "bounce"}
OTHERS: tuple[str, ...] = ("deferred", "deliverable", "undeliverable")
_AGENTS = {"smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard", "bounce"}
_DELIVERY = re.compile(
    r"(?P<queue_id>[0-9A-Za-z]+): to=<(?P<to>[^>]*)>, (?P<fields>.*?)\bstatus=(?P<status>[a-z-]+)\b,? ?(?P<text>.*)",
    re.DOTALL,
)
_NO_EVENT = Skipped("not_an_event")
_EXPIRED = "status=expired, returned to sender"  # from the queue manager, which names the sender and no recipient


def recognizes(value: object) -> bool:
    if isinstance(value, LineText):
        return _BEGINNING.match(value.text) is not None
    return isinstance(value, dict) and "MESSAGE" in value and "SYSLOG_IDENTIFIER" in value


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    syslog = parse_syslog(value.text) if isinstance(value, LineText) else from_journal(value)
    if syslog is None:
        if isinstance(value, LineText) and value.text.startswith(("{", "[")):
            return [Rejected(value.fault)]
        return [_NO_EVENT if recognizes(value) else Rejected("the line: neither syslog nor an entry of a journal")]
    found = _DELIVERY.match(syslog.message) if syslog.program.rpartition("/")[2] in _AGENTS else None
    if found is None:
        return [Skipped("status_not_relayed", "expired") if _EXPIRED in syslog.message else _NO_EVENT]
    return [_event(syslog, found, mapping)]


def _event(syslog: SyslogMessage, found: re.Match[str], mapping: FieldMapping) -> ParsedEvent:
    name, queue_id = found["status"], found["queue_id"]
    status = STATUSES.get(name)
    if status is None:
        return Skipped("status_not_relayed", name)
    fields = _fields(found["fields"])
    wording = found["text"].removeprefix("(").removesuffix(")")
    dsn = fields.get("dsn")
    source = {"host": syslog.host, "program": syslog.program, "queue_id": queue_id, "to": found["to"], **fields}
    recipient = recipient_of(found["to"], source, mapping)
    now = mapping.clock() if mapping.clock else None
    parsed = Event(
        # Short queue ids recur. The identity includes the time as written, which does not depend on the reader.
        identity=f"postfix:{syslog.host}:{syslog.time}:{queue_id}:{recipient}:{name}",
        status=status,
        time=parse_syslog_time(syslog.time, zone=mapping.timezone, now=now),
        failure=_failure(name, dsn, wording) if status == "bounce" else None,
        detail=wording,
        execution_id=f"{syslog.host}/{queue_id}",
    )
    return complete_event(parsed, source, mapping, recipient=recipient)


def _fields(written: str) -> dict[str, Any]:
    """Returns the fields of ``relay=mx.example.com[192.0.2.1]:25, delay=1.1, dsn=2.0.0, `` by name."""
    parts = (part.partition("=") for part in written.split(", ") if "=" in part)
    return {name.strip(): value.removeprefix("<").removesuffix(">") for name, _, value in parts}


def _failure(name: str, dsn: str | None, wording: str) -> MessageFailure:
    status = dsn if dsn and dsn[0] in "45" else None
    permanent = name == "bounced" and is_permanent(status, wording)
    return email_failure(classify(status, wording), "sync", "Hard" if permanent else "Soft", wording)


_PRIORITY = r"(?:<\d{1,3}>)?"
# RFC 3164 §4.1, with a time of its own form or of RFC 3339 (rsyslog's RSYSLOG_FileFormat, journalctl -o short-iso).
_CLASSIC = re.compile(
    _PRIORITY + r"(?P<time>[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d)?) "
    r"(?P<host>\S+) (?P<program>[^\s\[:]+)(?:\[(?P<process>\d+)\])?: ?(?P<message>.*)",
    re.DOTALL,
)
# RFC 5424 §6: version, time, host, program, process, id of the message, structured data. The repetitions are
# possessive: otherwise each character leaves a place to return to, 250 bytes for each byte of a line.
_MODERN = re.compile(
    _PRIORITY + r"1 (?P<time>\S+) (?P<host>\S+) (?P<program>\S+) (?P<process>\S+) \S+ "
    r'(?:-|(?:\[(?:[^\]"]++|"(?:[^"\\]++|\\.)*+")*+\])++) ?(?P<message>.*)',
    re.DOTALL,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HOUR = 3600
_AHEAD = timedelta(days=1)  # how far a sender's clock or zone may be ahead of ours


class SyslogMessage(msgspec.Struct, frozen=True):
    """The parts of a line. `time` is the text in the line; `parse_syslog_time` determines its year and zone."""

    time: str
    host: str
    program: str
    message: str


# The beginning of either form.
_BEGINNING = re.compile(
    _PRIORITY + r"(?:(?:1 )?(?:[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+)|1 -) \S+ \S"
)


def parse_syslog(line: str) -> SyslogMessage | None:
    """Returns the parts of a line, or None if it has neither form."""
    found = _CLASSIC.match(line) or _MODERN.match(line)
    if found is None:
        return None
    return SyslogMessage(found["time"], found["host"], found["program"], found["message"].removeprefix("\ufeff"))


def from_journal(entry: object) -> SyslogMessage | None:
    """Returns the parts of an entry of ``journalctl -o json``, or None if one of them is missing."""
    if not isinstance(entry, dict):
        return None
    host, program, message, microseconds = (
        entry.get(name) for name in ("_HOSTNAME", "SYSLOG_IDENTIFIER", "MESSAGE", "__REALTIME_TIMESTAMP")
    )
    message = _text(message)
    if not (isinstance(host, str) and isinstance(program, str) and message is not None):
        return None
    if not (isinstance(microseconds, str) and microseconds.isdecimal() and len(microseconds) <= 17):  # year 5138
        return None
    moment = datetime.fromtimestamp(int(microseconds) / 1_000_000, UTC)
    return SyslogMessage(moment.isoformat(timespec="microseconds"), host, program, message)


def _text(message: object) -> str | None:
    """Returns the text of a field. journald writes a text that is not UTF-8 as a list of bytes."""
    if isinstance(message, list) and all(type(byte) is int and 0 <= byte < 256 for byte in message):
        return bytes(message).decode("utf-8", "replace")
    return message if isinstance(message, str) else None


def parse_syslog_time(time: str, *, zone: tzinfo, now: float | None) -> str | None:
    """Returns a line's time in ISO 8601. A time without a zone is in `zone`.

    A time without a year gets the latest year in which it is not in the future, so a log that spans New Year gets
    both years. `now` is in Unix seconds. If `now` is None, the result for such a time is None.
    """
    return _moment(time, zone, None if now is None else int(now) // _HOUR)


@lru_cache(maxsize=1024)  # many lines have the same second
def _moment(time: str, zone: tzinfo, hour: int | None) -> str | None:
    try:
        if time[0].isdigit():
            written = datetime.fromisoformat(time.replace(",", "."))
            return (written if written.tzinfo else written.replace(tzinfo=zone)).isoformat()
        return None if hour is None else _with_year(time, zone, datetime.fromtimestamp(hour * _HOUR, UTC) + _AHEAD)
    except (ValueError, OverflowError, IndexError):
        return None


def _with_year(time: str, zone: tzinfo, latest: datetime) -> str | None:
    name, day, clock = time.split()
    month = _MONTHS.index(name) + 1
    hour, minute, second = map(int, clock.split(":"))
    # The last leap day can be eight years ago (1896, 1904). An invalid day has no year.
    for year in range(latest.year, latest.year - 9, -1):
        try:
            written = datetime(year, month, int(day), hour, minute, second, tzinfo=zone)
        except ValueError:
            continue
        if written <= latest:
            return written.isoformat()
    return None
