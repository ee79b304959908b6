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

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import (
    classify,
    email_failure,
    enhanced_status,
    is_permanent,
    suppressed_by_sender,
)
from hookline.relay.formats.format import Description, LineText, ParsedEvent
from hookline.relay.formats.mail_log import UNREAD_OUTCOME, MailResult, looks_like_outcome, read_result
from hookline.relay.formats.provider_event import complete_event, recipient_of
from hookline.relay.formats.wrappers import LONG_MESSAGE, SYSLOG, Wrapped, journal_text, journal_time

NAME = "postfix"
DESCRIPTION = Description(
    "email",
    "a line of Postfix's log: a syslog line or a journal entry; lines without a delivery status are skipped",
    "time, host and program of a syslog line; `MESSAGE` and `SYSLOG_IDENTIFIER` of a journal entry",
)

STATUSES: Mapping[str, str] = {
    "sent": "delivered",
    "bounced": "bounce",
    "expired": "bounce",
    "force-expired": "bounce",
    "discarded": "error",
}
# A soft bounce is deferred: Postfix tries again (`soft_bounce = yes`).
OTHERS: tuple[str, ...] = ("deferred", "deliverable", "undeliverable", "SOFTBOUNCE")
_NO_EVENT = Skipped("not_an_event")
# Lines that journalctl writes between entries.
_JOURNALCTL = re.compile(r"-- (?:Boot [0-9a-f]{32}|Reboot|No entries|(?:Journal|Logs) begins? at .*) --")
# Its forms without a readable time: `-o short-full`, `short-unix`, `short-monotonic`, `verbose`.
_UNREAD_TIME = re.compile(
    r"(?:[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* \S+|\[ *\d+\.\d{6}\]|\d{9,}\.\d{6}) \S+ \S+\[\d+\]: "
)
_JOURNALCTL_TIME = Rejected(
    "journalctl's text in a form whose times are not read; use `journalctl -o json` or `-o short-iso`"
)


def recognizes(value: object) -> bool:
    if isinstance(value, LineText):
        return _BEGINNING.match(value.text) is not None or _is_journalctl(value.text)
    return isinstance(value, dict) and "MESSAGE" in value and "SYSLOG_IDENTIFIER" in value


def _is_journalctl(line: str) -> bool:
    return _JOURNALCTL.fullmatch(line) is not None or _UNREAD_TIME.match(line) is not None


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    syslog = parse_syslog(value.text) if isinstance(value, LineText) else from_journal(value)
    if syslog is None:
        return [_without_head(value)]
    result = read_result(syslog.program, syslog.message)
    return [_event(syslog, result, mapping) if isinstance(result, MailResult) else result]


def _without_head(value: object) -> Skipped | Rejected:
    """Returns the result for a line without time, host and program."""
    if isinstance(value, LineText):
        if _UNREAD_TIME.match(value.text):
            return _JOURNALCTL_TIME
        if value.text.startswith(("{", "[")):
            return Rejected(value.fault)
        if _JOURNALCTL.fullmatch(value.text):
            return Skipped("not_an_event", "line of journalctl")
        if recognizes(value):
            return UNREAD_OUTCOME if looks_like_outcome(value.text) else _NO_EVENT
    elif isinstance(value, dict) and recognizes(value):
        if value["MESSAGE"] is None:
            return Rejected(LONG_MESSAGE)
        return UNREAD_OUTCOME if looks_like_outcome(journal_text(value["MESSAGE"]) or "") else _NO_EVENT
    return Rejected("the line: neither syslog nor an entry of a journal")


def _event(syslog: SyslogMessage, result: MailResult, mapping: FieldMapping) -> ParsedEvent:
    # The discard agent reports mail that the server's configuration throws away as sent.
    thrown_away = syslog.program.rpartition("/")[2] == "discard" and result.status == "sent"
    name = "discarded" if thrown_away else result.status
    status = STATUSES.get(name)
    if status is None:
        return Skipped("status_not_relayed", name)
    dsn = result.fields.get("dsn")
    wording = result.text.removeprefix("(").removesuffix(")")
    head = {"host": syslog.host, "program": syslog.program, "queue_id": result.queue_id, "to": result.to}
    source = {**head, **result.fields}
    recipient = recipient_of(result.to, source, mapping)
    now = mapping.clock() if mapping.clock else None
    parsed = Event(
        # Short queue ids recur. The identity includes the time as written, which does not depend on the reader.
        identity=f"postfix:{syslog.host}:{syslog.time}:{result.queue_id}:{recipient}:{name}",
        status=status,
        time=parse_syslog_time(syslog.time, zone=mapping.timezone, now=now),
        failure=_failure(name, dsn, wording) if status in ("bounce", "error") else None,
        detail=wording,
        execution_id=f"{syslog.host}/{result.queue_id}",
    )
    return complete_event(parsed, source, mapping, recipient=recipient)


def _failure(name: str, dsn: str | None, wording: str) -> MessageFailure:
    if name == "discarded":
        return suppressed_by_sender()
    status = enhanced_status(dsn, wording)
    permanent = name == "bounced" and is_permanent(dsn if dsn and dsn[0] in "45" else status, wording)
    return email_failure(classify(status, wording), "sync", "Hard" if permanent else "Soft", wording)


_PRIORITY = r"(?:<\d{1,3}>)?"
# RFC 3164 §4.1, with a time of its own form, perhaps with a fraction (journalctl -o short-precise), or of RFC 3339
# (rsyslog's RSYSLOG_FileFormat, journalctl -o short-iso). FreeBSD writes `<mail.info>` before the host, Busybox
# `mail.info` after it, Solaris `[ID 197553 mail.info]` before the message.
_CLASSIC = re.compile(
    _PRIORITY
    + r"(?P<time>[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d(?:\.\d{1,9})?|\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d)?) "
    r"(?:<[a-z\d]+\.[a-z\d]+> )?(?P<host>\S+) (?:[a-z\d]+\.(?:emerg|alert|crit|err|warn|notice|info|debug) )?"
    r"(?P<program>[^\s\[:]+)(?:\[(?P<process>\d+)\])?: ?(?:\[ID \d+ [a-z\d]+\.[a-z]+\] )?(?P<message>.*)",
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
    _PRIORITY + r"(?:(?:1 )?(?:[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d(?:\.\d{1,9})?|\d{4}-\d\d-\d\dT\S+)|1 -) \S+ \S"
)


def parse_syslog(line: str) -> SyslogMessage | None:
    """Returns the parts of a line, or None if it has neither form."""
    found = _CLASSIC.match(line) or _MODERN.match(line)
    if found is None:
        return None
    return SyslogMessage(found["time"], found["host"], found["program"], found["message"].removeprefix("\ufeff"))


def unwrap_syslog(line: LineText, mapping: FieldMapping) -> Wrapped | None:
    """Returns the JSON that a program wrote into a syslog line, or None for other lines."""
    syslog = parse_syslog(line.text) if '{"' in line.text else None
    if syslog is None or not syslog.message.startswith('{"'):
        return None
    now = mapping.clock() if mapping.clock else None
    time = parse_syslog_time(syslog.time, zone=mapping.timezone, now=now)
    return Wrapped(SYSLOG, syslog.message, {"host": syslog.host, "program": syslog.program}, time)


def from_journal(entry: object) -> SyslogMessage | None:
    """Returns the parts of an entry of ``journalctl -o json``, or None if one of them is missing."""
    if not isinstance(entry, dict):
        return None
    host, program, time = entry.get("_HOSTNAME"), entry.get("SYSLOG_IDENTIFIER"), entry.get("__REALTIME_TIMESTAMP")
    message, moment = journal_text(entry.get("MESSAGE")), journal_time(time)
    if not (isinstance(host, str) and isinstance(program, str)) or message is None or moment is None:
        return None
    return SyslogMessage(moment, host, program, message)


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
    whole, _, fraction = clock.partition(".")
    hour, minute, second = map(int, whole.split(":"))
    microsecond = int(fraction[:6].ljust(6, "0"))
    # The last leap day can be eight years ago (1896, 1904). An invalid day has no year.
    for year in range(latest.year, latest.year - 9, -1):
        try:
            written = datetime(year, month, int(day), hour, minute, second, microsecond, tzinfo=zone)
        except ValueError:
            continue
        if written <= latest:
            return written.isoformat()
    return None
