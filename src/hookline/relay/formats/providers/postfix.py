"""Postfix's log: the lines in which smtp, lmtp, local and other delivery agents report the result for a recipient.

https://www.postfix.org/postconf.5.html, RFC 3463 for `dsn`. All other lines of Postfix, and lines of other programs
in the same log, contain no event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import HARD, SOFT, SYNC, classify, failure, is_permanent
from hookline.relay.formats.format import LineText, ParsedEvent
from hookline.relay.formats.provider_event import provided, recipient_of
from hookline.relay.formats.providers.syslog import (
    SyslogMessage,
    from_journal,
    looks_like,
    parse_syslog,
    parse_syslog_time,
)

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
        return looks_like(value.text)
    return isinstance(value, dict) and "MESSAGE" in value and "SYSLOG_IDENTIFIER" in value


def events(value: object, hints: FieldMapping) -> Iterable[ParsedEvent]:
    said = _said(value)
    if said is None:
        return [_NO_EVENT if recognizes(value) else _fault(value)]
    found = _DELIVERY.match(said.message) if said.program.rpartition("/")[2] in _AGENTS else None
    if found is None:
        return [Skipped("status_not_relayed", "expired") if _EXPIRED in said.message else _NO_EVENT]
    return [_event(said, found, hints)]


def _said(value: object) -> SyslogMessage | None:
    if isinstance(value, LineText):
        return parse_syslog(value.text)
    return from_journal(value) if isinstance(value, dict) else None


def _fault(value: object) -> Rejected:
    if isinstance(value, LineText) and value.text.startswith(("{", "[")):
        return Rejected(value.fault)
    return Rejected("the line: neither syslog nor an entry of a journal")


def _event(said: SyslogMessage, found: re.Match[str], hints: FieldMapping) -> ParsedEvent:
    told, queue_id = found["status"], found["queue_id"]
    status = STATUSES.get(told)
    if status is None:
        return Skipped("status_not_relayed", told)
    fields = _fields(found["fields"])
    wording = found["text"].removeprefix("(").removesuffix(")")
    dsn = fields.get("dsn")
    source = {"host": said.host, "program": said.program, "queue_id": queue_id, "to": found["to"], **fields}
    recipient = recipient_of(found["to"], source, hints)
    return provided(
        source,
        hints,
        # Short queue ids recur, so the identity includes the time as written, which does not depend on the reader.
        identity=f"postfix:{said.host}:{said.time}:{queue_id}:{recipient}:{told}",
        status=status,
        recipient=recipient,
        time=parse_syslog_time(said.time, zone=hints.timezone, now=hints.clock() if hints.clock else None),
        failure=_failure(told, dsn, wording) if status == "bounce" else None,
        detail=wording,
        execution_id=f"{said.host}/{queue_id}",
    )


def _fields(written: str) -> dict[str, Any]:
    """Returns the fields of ``relay=mx.example.com[192.0.2.1]:25, delay=1.1, dsn=2.0.0, `` by name."""
    parts = (part.partition("=") for part in written.split(", ") if "=" in part)
    return {name.strip(): value.removeprefix("<").removesuffix(">") for name, _, value in parts}


def _failure(told: str, dsn: str | None, wording: str) -> MessageFailure:
    status = dsn if dsn and dsn[0] in "45" else None
    permanent = told == "bounced" and is_permanent(status, wording)
    return failure(classify(status, wording), SYNC, HARD if permanent else SOFT, wording)
