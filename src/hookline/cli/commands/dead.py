"""`hookline dead`: look at dead letters. What is done to them is in modules of their own."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from hookline.cli.commands.dead_files import export_command, import_command
from hookline.cli.dead_letter_options import filter_from, filter_text, filters, target_text
from hookline.cli.options import RATE, format_option, spool_option
from hookline.cli.progress import counting
from hookline.errors import Blocked, WrongUse
from hookline.escaping import printable
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine
from hookline.relay.formats.dead_letter_json import history_as_json
from hookline.relay.spool.admin import Count, DeadLetterStore, Filter
from hookline.relay.spool.factory import spool_store
from hookline.units import utc_text


# `hookline dead replay` and `hookline dead discard`.
@click.command("replay", epilog="Example: hookline dead replay --http-status 422 --rate 50/s")
@spool_option
@filters
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--all", "everything", is_flag=True, help="Replay every dead letter.")
@click.option("--dry-run", is_flag=True, help="Only count the dead letters.")
@click.option(
    "--rate", type=RATE, help="Replay at this rate for each webhook, such as 50/s or 1000/m. Default: all at once."
)
def replay_command(
    *, spool: str, ids: tuple[str, ...], everything: bool, dry_run: bool, rate: float | None, **chosen: Any
) -> None:
    """Make dead letters pending again, under the same ids, with a new age.

    A running relay delivers them within a second; otherwise the next relay does. Rejected lines are read again with
    the options of that relay. If a line has several events, only its rejected events are replayed. If the command
    is interrupted, run it again to replay the rest.
    """
    narrowed = target_text(filter_from(ids, chosen), everything)
    with spool_store(spool).dead_letters() as dead:
        count = dead.count(narrowed)
        cut = dead.count_truncated(narrowed) if count.lines else 0
        count = Count(count.deliveries, count.lines - cut)
        if dry_run:
            click.echo(f"Would replay {filter_text(count)}.")
        else:
            with counting("replaying", count.total) as told:
                replayed = dead.replay(narrowed, now=time.time(), rate=rate, on_progress=told)
            click.echo(f"Replayed {filter_text(replayed)}.")
    if cut:
        click.echo(f"  {cut:,} too long to be kept whole: these lines stay; read their source again", err=True)
    if not dry_run and replayed.total:
        click.echo(f"  next: {_next(replayed, rate)}", err=True)


def _next(replayed: Count, rate: float | None) -> str:
    if replayed.deliveries and rate is not None:
        sent = f"a running relay sends {rate:g} a second for each webhook"
    else:
        sent = "a running relay has them within a second"
    return f"{sent}; otherwise `hookline relay --drain`"


@click.command("discard", epilog="Example: hookline dead discard --until 2026-01-01 --yes")
@spool_option
@filters
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--all", "everything", is_flag=True, help="Discard every dead letter.")
@click.option("--dry-run", is_flag=True, help="Only count the dead letters.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def discard_command(
    *, spool: str, ids: tuple[str, ...], everything: bool, dry_run: bool, yes: bool, **chosen: Any
) -> None:
    """Delete dead letters permanently. Asks on a terminal; without a terminal it requires --yes."""
    narrowed = target_text(filter_from(ids, chosen), everything)
    with spool_store(spool).dead_letters() as dead:
        count = dead.count(narrowed)
        if dry_run or not count.total:
            click.echo(f"Would discard {filter_text(count)}.")
            return
        if not yes:
            _ask(f"Discard {filter_text(count)} for good?")
        with counting("discarding", count.total) as told:
            discarded = dead.discard(narrowed, now=time.time(), on_progress=told)
    click.echo(f"Discarded {filter_text(discarded)}.")


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise Blocked(f"{question} There is no terminal to ask on", hint="say --yes")
    if not click.confirm(question, err=True):
        raise Blocked("nothing was discarded")


@click.group(epilog="Example: hookline dead list --http-status 422, then: hookline dead replay --http-status 422")
def command() -> None:
    """List, show, replay, discard, export and import dead letters.

    Dead letters are deliveries that were refused or exhausted their retries, and lines that could not be read. The
    spool keeps them whole, with the reason. All commands also work while a relay runs. A relay deletes dead letters
    after --retain.
    """


@command.command("list", epilog="Example: hookline dead list --webhook ACME@AdobeOrg/prod --reason 'http 422'")
@spool_option
@filters
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Show at most this many, the newest ones.",
)
@format_option("text", "json", help="One line each, or a JSON array.")
def list_command(*, spool: str, limit: int, form: str, **chosen: Any) -> None:
    """List dead letters, the newest first."""
    narrowed = filter_from((), chosen)
    with spool_store(spool).dead_letters() as dead:
        if form == "json":
            _print_json(dead, narrowed, limit)
            return
        shown = 0
        for letter in dead.newest(narrowed, limit=limit):
            click.echo(printable(_line(letter)))
            shown += 1
        count = dead.count(narrowed)
    more = f", the newest {shown:,} shown" if shown < count.total else ""
    click.echo(f"{filter_text(count)}{more}.", err=True)


def _print_json(dead: DeadLetterStore, chosen: Filter, limit: int) -> None:
    """An array on one line, written as it is read."""
    before = "["
    for letter in dead.newest(chosen, limit=limit):
        click.echo(before + json.dumps(_as_json(letter)), nl=False)
        before = ", "
    click.echo("[]" if before == "[" else "]")


@command.command("show", epilog="Example: hookline dead show line-12")
@spool_option
@click.argument("identity", metavar="ID")
def show_command(*, spool: str, identity: str) -> None:
    """Show one dead letter as JSON, with its recorded attempts. The beginning of its ID is enough.

    Attempt number 0 marks a replay by an operator.
    """
    with spool_store(spool).dead_letters() as dead:
        letters = list(dead.newest(Filter(ids=(identity,)), limit=1))
    if not letters:  # put back a moment ago, or waiting to be read again
        raise WrongUse(f"no dead letter has the id {identity!r} any more", hint="`hookline dead list` shows them")
    click.echo(json.dumps(_whole(letters[0]), indent=2))


def _line(letter: DeadLetter) -> str:
    match letter:
        case DeadDelivery():
            what = f"{letter.webhook}  {letter.channel} {letter.status}"
        case DeadLine():
            what = "-  line"
    return f"{_id(letter)}  {_time(letter.at)}  {what}  {letter.source}:{letter.line}  {letter.reason}"


def _id(letter: DeadLetter) -> str:
    return letter.id.hex() if isinstance(letter, DeadDelivery) else f"line-{letter.n}"


def _time(at: float) -> str:
    return utc_text(at)


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    delivery = letter if isinstance(letter, DeadDelivery) else None
    return {
        "id": _id(letter),
        "time": _time(letter.at),
        "reason": letter.reason,
        "httpStatus": delivery and delivery.http,
        "attempts": delivery and delivery.attempts,
        "webhook": delivery and str(delivery.webhook),
        "channel": delivery and delivery.channel,
        "status": delivery and delivery.status,
        "requestId": delivery and delivery.request_id,
        "source": letter.source,
        "line": letter.line,
        "bytes": len(letter.body) if isinstance(letter, DeadDelivery) else letter.length,
    }


def _whole(letter: DeadLetter) -> dict[str, Any]:
    match letter:
        case DeadDelivery():
            return {
                **_as_json(letter),
                "eventTime": letter.event_time,
                "detail": letter.detail,
                "history": history_as_json(letter.history),
                "payload": json.loads(letter.body),
            }
        case DeadLine():
            # What is not UTF-8 is shown as an escape, never sent raw to a terminal.
            return {**_as_json(letter), "text": letter.data.decode("utf-8", "backslashreplace")}


for _command in (replay_command, discard_command, export_command, import_command):
    command.add_command(_command)
