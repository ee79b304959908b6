"""`hookline status`: the spool and its relay, at rest or at work."""

from __future__ import annotations

import json
import time

import click

from hookline.cli.options import format_option, spool_option
from hookline.cli.statustext import status_text
from hookline.observe.status import status_document
from hookline.relay.spool.factory import spool_store


@click.command(
    epilog="Example: hookline status --format json | jq .oldestSeconds. Exit codes: 0 done, 8 no such spool, or it "
    "cannot be read."
)
@spool_option
@click.option("--all", "everything", is_flag=True, help="Show every webhook and every source.")
@format_option("text", "json", help="Text for people, or the document of `hookline schema status`.")
def command(*, spool: str, everything: bool, form: str) -> None:
    """Show the spool, its webhooks and checkpoints, and the relay that uses it.

    Reads the spool beside a running relay and changes nothing. Webhooks that need attention come first.
    """
    statistics = spool_store(spool).statistics()
    facts = statistics.spool_status(now=time.time())
    holder, relay = statistics.relay_status()
    if form == "json":
        click.echo(json.dumps(status_document(facts, relay, holder), indent=2))
        return
    for line in status_text(facts, relay, holder, everything=everything):
        click.echo(line)
