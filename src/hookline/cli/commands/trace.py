"""`hookline trace`: show the events of one API request, their attempts and their results.

Text and JSON contain no recipient unless --payload is given.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import click

from hookline.cli.options import examples, format_option, spool_option
from hookline.cli.output.json_output import print_json
from hookline.errors import WrongUse
from hookline.escaping import printable, without_recipients
from hookline.exit_codes import ExitCode
from hookline.observe.status import moment
from hookline.relay.spool.admin import MIN_TRACE_ID_DIGITS, Trace, TracedDelivery, TracedLine
from hookline.relay.spool.factory import spool_store
from hookline.relay.tracing.trace_steps import RESULT_NAMES, trace_steps
from hookline.relay.tracing.waiting_reason import why_waiting_anywhere
from hookline.storage_location import without_passwords

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
        for label, text in trace_steps(one, waits(one)):
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


def _delivery(one: TracedDelivery, waits: str | None, *, payload: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": one.id,
        "requestId": one.request_id,
        "webhook": one.webhook,
        "channel": one.channel,
        "status": one.status,
        "detail": None if one.detail is None else without_recipients(one.detail),
        "source": one.source,
        "line": one.line,
        "read": moment(one.read),
        "readIsExact": one.exact,
        "eventTime": one.event_time,
        "fate": RESULT_NAMES[one.state],
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
