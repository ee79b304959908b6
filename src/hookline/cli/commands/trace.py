"""`hookline trace`: show the events of one API request, their attempts and their results.

Text and JSON contain no recipient unless --payload is given.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import click

from hookline.cli.options import examples, format_option, spool_option
from hookline.cli.output.json_output import print_json
from hookline.errors import WrongUse
from hookline.escaping import printable
from hookline.exit_codes import ExitCode
from hookline.observe.snapshot import ProcessStatus, RelayStatus, SpoolProcesses
from hookline.observe.status import moment
from hookline.relay.delivery_record import FailedAttempt
from hookline.relay.spool.admin import MIN_TRACE_ID_DIGITS, Trace, TracedDelivery, TracedLine
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool import State
from hookline.storage_location import without_passwords

_RECIPIENT: Final = re.compile(r"[^\s<>\"',;:]+@[\w.-]+|\+?\d[\d ()/-]{6,}\d")
_RESULTS: Final = {
    State.PENDING: "pending", State.DELIVERED: "delivered", State.DEAD: "dead letter", State.DISCARDED: "discarded",
}  # fmt: skip


IN_FLIGHT: Final = "in flight"
NO_RELAY: Final = "no relay is running on this spool"
# Why a delivery waits; None if it is settled.
_Waits = Callable[[TracedDelivery], str | None]


def _document(found: Trace, waits: _Waits, *, payload: bool) -> dict[str, Any]:
    return {
        "deliveries": [_delivery(one, waits(one), payload=payload) for one in found.deliveries],
        "rejected": [_line(one, payload=payload) for one in found.lines],
    }


def _lines(found: Trace, waits: _Waits, *, payload: bool) -> Iterator[str]:
    for one in found.deliveries:
        yield printable(f"{one.id}  {one.webhook}  {one.channel} {one.status}  request {one.request_id}")
        for label, text in _steps(one, waits(one)):
            yield f"  {label:<12}{printable(text)}"
        if payload and one.body is not None:
            yield f"  {'payload':<12}{printable(one.body.decode('utf-8', 'backslashreplace'))}"
    for line in found.lines:
        yield printable(f"{line.id}  rejected  {line.source}:{line.line}  {moment(line.at)}")
        yield f"  {'reason':<12}{printable(line.reason)}"
        if line.replayed:
            yield f"  {'replayed':<12}a relay reads it again"
        if payload:
            yield f"  {'line':<12}{printable(line.data.decode('utf-8', 'backslashreplace'))}"


def _steps(one: TracedDelivery, waits: str | None) -> Iterator[tuple[str, str]]:
    approximately = "" if one.exact else "about "
    yield "read", f"{one.source}:{one.line}, {approximately}{moment(one.read)}"
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
            yield "...", f"{failed.number - last - 1} more attempts, not recorded individually"
        last = failed.number
        yield f"attempt {failed.number}", f"{moment(failed.at)}, {_reason(failed)}"
    yield _RESULTS[one.state], _result_text(one, waits)


def _result_text(one: TracedDelivery, waits: str | None) -> str:
    match one.state:
        case State.DELIVERED:
            status = "" if one.http is None else f", http {one.http}"
            return f"{moment(one.settled)}, in attempt {one.attempts}{status}"
        case State.DEAD:
            return f"{moment(one.settled)}, after {one.attempts} attempts: {one.reason or ''}"
        case State.DISCARDED:
            return moment(one.settled) or ""
        case State.PENDING if waits == IN_FLIGHT:
            return f"in flight: the endpoint has not answered attempt {one.attempts + 1} yet"
        case State.PENDING:
            return f"after {one.attempts} attempts: {waits}"


def _reason(failed: FailedAttempt) -> str:
    is_complete = failed.http is None or failed.reason == f"http {failed.http}"
    return failed.reason if is_complete else f"http {failed.http}: {failed.reason}"


def _masked(text: str) -> str:
    """The text without recipients, which a provider's wording may contain."""
    return _RECIPIENT.sub("[recipient]", text)


def why_waiting_anywhere(one: TracedDelivery, processes: SpoolProcesses, *, now: float) -> str | None:
    """As `why_waiting`, for a spool with one owner or with many. `now` is Unix seconds."""
    if not processes.shared:
        holder, relay = processes.relay
        return why_waiting(one, relay, held=holder is not None, now=now)
    owner = next((process for process in processes.processes if one.slot in process.slots), None)
    living = None if owner is None or owner.gone else owner
    reason = why_waiting(one, None if living is None else living.status, held=living is not None, now=now)
    return _with_owner(one.slot, owner) if reason == NO_RELAY else reason


def _with_owner(slot: int | None, owner: ProcessStatus | None) -> str:
    if owner is None:
        return f"no process owns its slot {slot}"
    return f"{owner.label}, which owns its slot {slot}, is gone; another process takes the slot over"


def why_waiting(one: TracedDelivery, relay: RelayStatus | None, *, held: bool, now: float) -> str | None:
    """The strongest reason why a pending delivery is not sent now, for people; None for a settled one.

    Args:
        one: the delivery.
        relay: the status of the spool's relay; None if it reports none.
        held: a relay has locked the spool.
        now: Unix seconds.
    """
    lane = None if relay is None else next((lane for lane in relay.lanes if lane.webhook == one.webhook), None)
    if one.state is not State.PENDING:
        return None
    if one.paused is not None:
        return f"an operator paused its webhook at {moment(one.paused)}"
    if one.disabled or (lane is not None and lane.disabled):
        return "its webhook is disabled in the applied configuration"
    if not held:
        return NO_RELAY
    if relay is not None and lane is None and relay.unready is None:
        return "its webhook is not applied"
    if lane is not None and one.id in lane.attempting:
        return IN_FLIGHT
    if lane is not None and lane.phase == "gone":
        return f"its endpoint is gone: {lane.reason}"
    if one.predecessor is not None and one.due is None and (lane is None or lane.ordered):
        return f"it waits for the earlier event {one.predecessor} of its message"
    if lane is not None and lane.phase == "open":
        return f"the circuit breaker of its endpoint is open until {moment(lane.until)}: {lane.reason}"
    if lane is not None and lane.phase == "half_open":
        return f"the relay probes its endpoint with one event at a time: {lane.reason}"
    if one.not_before is not None and one.not_before > now:
        return f"its endpoint requested a pause until {moment(one.not_before)}"
    if one.due is not None and one.due > now:
        return f"its next attempt is at {moment(one.due)}"
    return "earlier deliveries are sent first"


def _delivery(one: TracedDelivery, waits: str | None, *, payload: bool) -> dict[str, Any]:
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
        "fate": _RESULTS[one.state],
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
        "replayed": one.replayed,
    }  # fmt: skip
    return {**document, "text": one.data.decode("utf-8", "backslashreplace")} if payload else document


@click.command(
    epilog=examples(
        "hookline trace REQ-80940504", exits="0 found, 1 not found, 8 no such spool, or it cannot be read"
    )
)
@spool_option
@click.option(
    "--payload", is_flag=True, help="Also show payloads and rejected lines. They contain recipients' addresses."
)
@format_option("text", "json", help="Text for people, or one JSON object.")
@click.argument("identity", metavar="REQUEST_ID|EXECUTION_ID")
def trace_command(*, spool: str, payload: bool, form: str, identity: str) -> int:
    """Show the events of one API request or message execution (HUMA-...): where each was read, its webhook, its
    attempts and its result.

    For pending events it shows the time of the next attempt, or the reason for waiting. It also accepts a delivery
    id (the webhook-id that a receiver got), or at least its first 8 digits.
    """
    if not identity.strip():
        raise WrongUse("the id is empty", hint="name a request id, an execution id (HUMA-...) or a delivery id")
    store = spool_store(spool)
    found = store.trace_search().trace(identity)
    waits = partial(why_waiting_anywhere, processes=store.statistics().processes(), now=time.time())
    if form == "json":
        print_json(_document(found, waits, payload=payload))
    else:
        for line in _lines(found, waits, payload=payload):
            click.echo(line)
    if found.found:
        return ExitCode.DONE
    # An argument that was meant for another command may hold a password, or be a recipient.
    shown = "the id" if "@" in identity or identity != without_passwords(identity) else repr(identity)
    click.echo(
        f"{shown} was not found in this spool. Possible reasons:\n"
        "  - its events were skipped: the spool counts them by reason (`hookline status`) and does not keep them;\n"
        "  - it was not read yet, or by a relay with another spool (--spool);\n"
        "  - its record is older than `hookline relay --retain`, or was removed by --records-max;\n"
        "  - it is the beginning of a request id or execution id, which must be whole;\n"
        f"  - it is the beginning of a delivery id with fewer than {MIN_TRACE_ID_DIGITS} digits.",
        err=True,
    )
    return ExitCode.FAILED
