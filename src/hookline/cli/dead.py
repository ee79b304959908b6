"""`hookline dead`: look at dead letters, replay or discard them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from hookline.cli.options import ADDRESS, format_option, spool_option
from hookline.errors import Blocked, WrongUse
from hookline.model import Channel, FeedbackStatus
from hookline.relay.spool.letters import Count, DeadLetters, Filter, Letter

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_FILTERS = (
    click.option("--webhook", type=ADDRESS, help="Only of this webhook (ORGANIZATION/SANDBOX)."),
    click.option("--channel", type=click.Choice([str(channel) for channel in Channel]), help="Only of this channel."),
    click.option(
        "--status",
        type=click.Choice([str(status) for status in FeedbackStatus]),
        help="Only of this feedback status.",
    ),
    click.option("--reason", help="Only those whose reason holds this text."),
    click.option("--http-status", type=click.IntRange(100, 599), help="Only those last answered with this status."),
    click.option("--since", type=click.DateTime(), help="Only those that died at or after this time (UTC)."),
    click.option("--until", type=click.DateTime(), help="Only those that died before this time (UTC)."),
)


def filters(function: Decorated) -> Decorated:
    """The options by which dead letters are chosen."""
    for option in reversed(_FILTERS):
        function = option(function)
    return function


def _filter(ids: tuple[str, ...], chosen: Mapping[str, Any]) -> Filter:
    """From the options that `filters` declares."""
    return Filter(
        ids=ids,
        webhook=chosen["webhook"],
        channel=chosen["channel"],
        status=chosen["status"],
        reason=chosen["reason"],
        http=chosen["http_status"],
        since=_unix(chosen["since"]),
        until=_unix(chosen["until"]),
    )


def _unix(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


@click.group(epilog="Example: hookline dead list --http-status 422, then: hookline dead replay --http-status 422")
def command() -> None:
    """Dead letters: deliveries that were refused or too old, and lines that could not be read.

    They are kept whole, with the reason, and can be looked at and replayed while a relay runs.
    """


@command.command("list", epilog="Example: hookline dead list --webhook ACME@AdobeOrg/prod --reason 'http 422'")
@spool_option
@filters
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The newest so many.")
@format_option("text", "json", help="A line each, or a JSON array.")
def list_command(*, spool: Path, limit: int, form: str, **chosen: Any) -> None:
    """List dead letters, the newest first."""
    narrowed = _filter((), chosen)
    with DeadLetters(spool) as dead:
        letters, count = dead.letters(narrowed, limit=limit), dead.count(narrowed)
    if form == "json":
        click.echo(json.dumps([_as_json(letter) for letter in letters], ensure_ascii=False))
        return
    for letter in letters:
        where = letter.webhook or "-"
        what = f"{letter.channel} {letter.status}" if letter.webhook else "line"
        click.echo(
            f"{letter.id}  {_time(letter.at)}  {where}  {what}  {letter.source}:{letter.line}  {letter.reason}"
        )
    more = f", the newest {len(letters)} shown" if len(letters) < count.total else ""
    click.echo(f"{_counted(count)}{more}.", err=True)


@command.command("show", epilog="Example: hookline dead show line-12")
@spool_option
@click.argument("identity", metavar="ID")
def show_command(*, spool: Path, identity: str) -> None:
    """Show one dead letter whole, as JSON. The beginning of its ID is enough."""
    with DeadLetters(spool) as dead:
        letters = dead.letters(Filter(ids=(identity,)), limit=1)
    click.echo(json.dumps(_as_json(letters[0], whole=True), indent=2, ensure_ascii=False))


@command.command("replay", epilog="Example: hookline dead replay --http-status 422 --dry-run")
@spool_option
@filters
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--all", "everything", is_flag=True, help="Replay every dead letter.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
def replay_command(*, spool: Path, ids: tuple[str, ...], everything: bool, dry_run: bool, **chosen: Any) -> None:
    """Make dead letters pending again, under the same ids.

    A running relay delivers them at once, else the next one does; rejected lines are read again by the next one.
    """
    narrowed = _aimed(_filter(ids, chosen), everything)
    with DeadLetters(spool) as dead:
        if dry_run:
            click.echo(f"Would replay {_counted(dead.count(narrowed))}.")
            return
        replayed = dead.replay(narrowed, now=time.time())
    click.echo(f"Replayed {_counted(replayed)}.")
    if replayed.total:
        click.echo("  next: a running relay has them already; otherwise `hookline relay --drain`", err=True)


@command.command("discard", epilog="Example: hookline dead discard --until 2026-01-01 --yes")
@spool_option
@filters
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--all", "everything", is_flag=True, help="Discard every dead letter.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard_command(
    *, spool: Path, ids: tuple[str, ...], everything: bool, dry_run: bool, yes: bool, **chosen: Any
) -> None:
    """Throw dead letters away for good. Asks on a terminal; elsewhere it wants --yes."""
    narrowed = _aimed(_filter(ids, chosen), everything)
    with DeadLetters(spool) as dead:
        count = dead.count(narrowed)
        if dry_run or not count.total:
            click.echo(f"Would discard {_counted(count)}.")
            return
        if not yes:
            _ask(f"Discard {_counted(count)} for good?")
        click.echo(f"Discarded {_counted(dead.discard(narrowed, now=time.time()))}.")


def _aimed(chosen: Filter, everything: bool) -> Filter:
    if chosen.everything and not everything:
        raise WrongUse("nothing says which dead letters", hint="give IDs or filters, or --all for every one")
    return chosen


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise Blocked(f"{question} There is no terminal to ask on", hint="say --yes")
    if not click.confirm(question, err=True):
        raise Blocked("nothing was discarded")


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _counted(count: Count) -> str:
    deliveries = f"{count.deliveries:,} {'delivery' if count.deliveries == 1 else 'deliveries'}"
    return f"{deliveries} and {count.lines:,} rejected {'line' if count.lines == 1 else 'lines'}"


def _as_json(letter: Letter, *, whole: bool = False) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": letter.id,
        "time": _time(letter.at),
        "reason": letter.reason,
        "httpStatus": letter.http,
        "attempts": letter.attempts,
        "webhook": letter.webhook,
        "channel": letter.channel,
        "status": letter.status,
        "requestId": letter.request_id,
        "source": letter.source,
        "line": letter.line,
        "bytes": letter.length,
    }
    if whole and letter.webhook is not None:
        document["payload"] = json.loads(letter.content)
    elif whole:
        # What is not UTF-8 is shown as an escape, never sent raw to a terminal.
        document["text"] = letter.content.decode("utf-8", "backslashreplace")
    return document
