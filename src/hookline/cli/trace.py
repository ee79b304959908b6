"""`hookline trace`: what became of one API request's events."""

from __future__ import annotations

import json
import time

import click

from hookline.cli.options import format_option, spool_option
from hookline.cli.tracetext import trace_document, trace_text
from hookline.relay.spool.admin import SHORTEST_TRACE_ID
from hookline.relay.spool.factory import spool_store

NOT_FOUND = 1


@click.command(
    epilog="Example: hookline trace REQ-80940504. Exit codes: 0 found, 1 not found, 8 no such spool, or it cannot "
    "be read."
)
@spool_option
@click.option(
    "--payload", is_flag=True, help="Also show payloads and rejected lines. They contain recipients' addresses."
)
@format_option("text", "json", help="Text for people, or one JSON object.")
@click.argument("identity", metavar="REQUEST_ID")
def command(*, spool: str, payload: bool, form: str, identity: str) -> int:
    """Show the events of one API request: where each was read, its webhook, its attempts and its result.

    For pending events it shows the time of the next attempt, or the reason for waiting. It also accepts a delivery
    id (the webhook-id that a receiver got), or at least its first 8 digits.
    """
    store = spool_store(spool)
    found = store.trace_search().trace(identity)
    holder, relay = store.statistics().relay_status()
    now = time.time()
    if form == "json":
        click.echo(json.dumps(trace_document(found, relay, holder, now=now, payload=payload), indent=2))
    else:
        for line in trace_text(found, relay, holder, now=now, payload=payload):
            click.echo(line)
    if not found.found:
        _say_not_found(identity)
    return 0 if found.found else NOT_FOUND


def _say_not_found(identity: str) -> None:
    click.echo(
        f"Nothing is known of {identity!r} in this spool. That can mean:\n"
        "  - its events were skipped: those are counted by reason (`hookline status`), not kept;\n"
        "  - it was not read yet, or by a relay with another spool (--spool);\n"
        "  - it was settled longer ago than records are kept (`hookline relay --retain`, --records-max);\n"
        f"  - it is the beginning of a delivery id with fewer than {SHORTEST_TRACE_ID} digits.",
        err=True,
    )
