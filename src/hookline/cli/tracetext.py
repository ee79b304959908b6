"""A trace as text and as JSON. Without `payload` neither names a recipient."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from hookline.escaping import printable
from hookline.observe.report import RelayFacts
from hookline.observe.status import moment
from hookline.relay.history import Failed
from hookline.relay.spool.admin import Trace, Traced, TracedLine
from hookline.relay.spool.port import State
from hookline.relay.waiting import why_waiting

_ADDRESS: Final = re.compile(r"[^\s<>\"',;:]+@[\w.-]+|\+?\d[\d ()/-]{6,}\d")
_WORDS: Final = {
    State.PENDING: "pending", State.DELIVERED: "delivered", State.DEAD: "dead letter", State.DISCARDED: "discarded",
}  # fmt: skip


def trace_document(
    found: Trace, relay: RelayFacts | None, holder: str | None, *, now: float, payload: bool
) -> dict[str, Any]:
    """The JSON object: `deliveries` and `rejected`, in the order of reading."""
    return {
        "deliveries": [_delivery(one, _waits(one, relay, holder, now), payload=payload) for one in found.deliveries],
        "rejected": [_line(one, payload=payload) for one in found.lines],
    }


def trace_text(
    found: Trace, relay: RelayFacts | None, holder: str | None, *, now: float, payload: bool
) -> Iterator[str]:
    """Some lines for each delivery and each rejected line."""
    for one in found.deliveries:
        yield f"{one.id}  {one.webhook}  {one.channel} {one.status}  request {printable(one.request_id)}"
        for what, text in _story(one, _waits(one, relay, holder, now)):
            yield f"  {what:<12}{printable(text)}"
        if payload and one.body is not None:
            yield f"  {'payload':<12}{printable(one.body.decode('utf-8', 'backslashreplace'))}"
    for line in found.lines:
        yield f"{line.id}  rejected  {printable(line.source)}:{line.line}  {moment(line.at)}"
        yield f"  {'reason':<12}{printable(line.reason)}"
        if line.again:
            yield f"  {'replayed':<12}a relay reads it once more"
        if payload:
            yield f"  {'line':<12}{printable(line.data.decode('utf-8', 'backslashreplace'))}"


def _story(one: Traced, waits: str | None) -> Iterator[tuple[str, str]]:
    """What happened, in order."""
    about = "" if one.exact else "about "
    yield "read", f"{one.source}:{one.line}, {about}{moment(one.read)}"
    if one.event_time is not None:
        yield "happened", one.event_time
    if one.detail is not None:
        yield "detail", _masked(one.detail)
    last = 0
    for failed in one.history:
        if failed.number == 0:
            yield "replayed", moment(failed.at) or ""
            continue
        if failed.number > last + 1:
            yield "...", f"{failed.number - last - 1} more attempts, which are not kept one by one"
        last = failed.number
        yield f"attempt {failed.number}", f"{moment(failed.at)}, {_reason(failed)}"
    yield _WORDS[one.state], _end(one, waits)


def _end(one: Traced, waits: str | None) -> str:
    match one.state:
        case State.DELIVERED:
            status = "" if one.http is None else f", http {one.http}"
            return f"{moment(one.settled)}, in attempt {one.attempts}{status}"
        case State.DEAD:
            return f"{moment(one.settled)}, after {one.attempts} attempts: {one.reason or ''}"
        case State.DISCARDED:
            return moment(one.settled) or ""
        case State.PENDING:
            return f"after {one.attempts} attempts: {waits}"


def _reason(failed: Failed) -> str:
    plain = failed.http is None or failed.reason == f"http {failed.http}"
    return failed.reason if plain else f"http {failed.http}: {failed.reason}"


def _masked(text: str) -> str:
    """A provider's wording may name the recipient."""
    return _ADDRESS.sub("[recipient]", text)


def _waits(one: Traced, relay: RelayFacts | None, holder: str | None, now: float) -> str | None:
    return why_waiting(one, relay, held=holder is not None, now=now) if one.state is State.PENDING else None


def _delivery(one: Traced, waits: str | None, *, payload: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": one.id,
        "requestId": one.request_id,
        "webhook": one.webhook,
        "channel": one.channel,
        "status": one.status,
        "detail": None if one.detail is None else _masked(one.detail),
        "source": one.source,
        "line": one.line,
        "read": moment(one.read),
        "readIsExact": one.exact,
        "eventTime": one.event_time,
        "fate": _WORDS[one.state],
        "attempts": one.attempts,
        "failures": [
            {"attempt": failed.number, "time": moment(failed.at), "reason": failed.reason,
             "httpStatus": failed.http}
            for failed in one.history
        ],
        "settled": moment(one.settled),
        "reason": one.reason,
        "httpStatus": one.http,
        "nextAttempt": moment(one.due),
        "waits": waits,
        "waitsForEvent": one.predecessor,
    }  # fmt: skip
    if payload:
        document["payload"] = None if one.body is None else json.loads(one.body)
    return document


def _line(one: TracedLine, *, payload: bool) -> dict[str, Any]:
    document = {
        "id": one.id, "time": moment(one.at), "source": one.source, "line": one.line, "reason": one.reason,
        "replayed": one.again,
    }  # fmt: skip
    return {**document, "text": one.data.decode("utf-8", "backslashreplace")} if payload else document
