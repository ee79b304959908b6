"""`hookline forget`: removes the data of one recipient from a spool."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

import click

from hookline.cli.options import TEXT, examples, spool_option
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.progress.progress import progress_bar
from hookline.errors import Blocked
from hookline.escaping import printable
from hookline.exit_codes import ExitCode
from hookline.relay.spool.admin import ForgetCount, ForgetResult, OnSearched
from hookline.relay.spool.factory import SpoolStore, spool_store
from hookline.relay.spool.recipient import Recipient

# A relay notices a change within a second, and publishes its status once a second.
_NOTICE_SECONDS: Final = 2.5
_KINDS: Final = {
    "pending": ("pending deliveries", "counted as dead, with the reason forgotten"),
    "dead": ("dead deliveries", "discarded; their records remain"),
    "lines": ("rejected lines", "deleted"),
    "records": ("records", "without the texts that named the recipient"),
    "copies": ("parts of other files in the spool's directory", "deleted"),
}
_BEYOND: Final = (
    "the sources: event logs with their rotated files, streams and topics",
    "files that were written elsewhere: exports of dead letters, logs, recorded requests, pages of `serve --export`",
    "copies and backups of the spool in other places",
    "the endpoints, which keep the events that they have accepted",
)


@click.command(
    epilog=examples(
        "hookline forget ann@example.com --dry-run",
        "echo +491701234567 | hookline forget - --yes",
        exits="0 removed, 3 a file in the spool's directory could not be searched, 6 not approved, "
        "8 the spool cannot be used",
    )
)
@spool_option
@click.argument("recipient", type=TEXT)
@click.option("--dry-run", is_flag=True, help="Only show how many there are.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def forget_command(*, spool: str, recipient: str, dry_run: bool, yes: bool) -> int:
    """Remove the data of RECIPIENT, an e-mail address or a phone number, from the spool, and overwrite it.

    RECIPIENT is found in any case and encoding. With -, its first line is read from standard input, so that it
    appears in no list of processes. Pending deliveries are not sent any more and count as dead. Records without an
    address remain, so that a source that is read again sends nothing twice. It also works while a relay runs. If the
    command is interrupted, run it again. It asks on a terminal; without a terminal it requires --yes.
    """
    wanted = Recipient(sys.stdin.readline() if recipient == "-" else recipient)
    store = spool_store(spool)
    if not dry_run:
        put_work_first()
    with store.recipient_removal() as removal:
        found = _searching("searching", lambda report: removal.count(wanted, on_searched=report))
        if dry_run:
            click.echo(f"Would remove {_total_text(found.count)}.")
            return _report(found, dry_run=True)
        _require_approval(found.count, yes=yes)
        before = _attempting(store)
        removed = _searching("removing", lambda report: removal.forget(wanted, now=time.time(), on_searched=report))
        beyond = removal.overwrite()
    click.echo(f"Removed {_total_text(removed.count)}, and overwrote the space of removed rows.")
    code = _report(removed, dry_run=False)
    _report_in_flight(store, removed, before)
    click.echo("Not reached by this command:")
    for place in (*_BEYOND, *beyond):
        click.echo(f"  - {printable(place)}")
    return code


def _searching(label: str, search: Callable[[OnSearched | None], ForgetResult]) -> ForgetResult:
    with progress_bar(label) as update:
        return search(None if update is None else lambda searched: update(searched, None))


def _require_approval(count: ForgetCount, *, yes: bool) -> None:
    """If nothing is found, the run only overwrites the space of rows that an earlier run has removed."""
    if not count.total or yes:
        return
    question = f"Remove {_total_text(count)} permanently?"
    if not sys.stdin.isatty():
        raise Blocked(f"{question} No terminal to ask on", hint="give --yes")
    if not click.confirm(question, err=True):
        raise Blocked("nothing was removed")


def _total_text(count: ForgetCount) -> str:
    return f"{count.total:,} {'entry' if count.total == 1 else 'entries'} of the recipient"


def _report(result: ForgetResult, *, dry_run: bool) -> int:
    """Print the count of each kind, and what could not be searched. Returns the exit code."""
    for name, (kind, effect) in _KINDS.items():
        click.echo(f"  {getattr(result.count, name):>9,}  {kind}{'' if dry_run else f': {effect}'}")
    for place in result.remains:
        click.echo(f"  {printable(place)}: look at it, and delete it if it may contain the recipient", err=True)
    return ExitCode.INCOMPLETE if result.remains else ExitCode.DONE


def _attempting(store: SpoolStore) -> set[str]:
    """The ids of the deliveries that running relays attempt, as they have reported it last."""
    statuses = [one.status for one in store.statistics().processes().processes if one.status is not None]
    return {identity for status in statuses for lane in status.lanes for identity in lane.attempting}


def _report_in_flight(store: SpoolStore, removed: ForgetResult, before: set[str]) -> None:
    if not removed.pending_ids or not store.statistics().processes().processes:
        return
    time.sleep(_NOTICE_SECONDS)
    attempted = {one.hex() for one in removed.pending_ids} & (before | _attempting(store))
    click.echo(
        f"A relay runs. It drops the removed deliveries within a second. {len(attempted):,} of them were in flight; "
        "these, and attempts that began within that second, may have reached the endpoint."
    )
