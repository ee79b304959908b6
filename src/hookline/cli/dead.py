"""`hookline dead`: look at dead letters. What is done to them is in modules of their own."""

from __future__ import annotations

import json
from typing import Any

import click

from hookline.cli.deadacting import discard_command, replay_command
from hookline.cli.deadchoice import chosen_by, filters, in_words
from hookline.cli.deadfiles import export_command, import_command
from hookline.cli.options import format_option, spool_option
from hookline.errors import WrongUse
from hookline.escaping import printable
from hookline.quantities import utc_text
from hookline.relay.formats.envelope import history_as_json
from hookline.relay.letters import DeadDelivery, DeadLine, Letter
from hookline.relay.spool.admin import DeadLetterStore, Filter
from hookline.relay.spool.factory import spool_store


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
    narrowed = chosen_by((), chosen)
    with spool_store(spool).dead_letters() as dead:
        if form == "json":
            _print_json(dead, narrowed, limit)
            return
        shown = 0
        for letter in dead.letters(narrowed, limit=limit):
            click.echo(printable(_line(letter)))
            shown += 1
        count = dead.count(narrowed)
    more = f", the newest {shown:,} shown" if shown < count.total else ""
    click.echo(f"{in_words(count)}{more}.", err=True)


def _print_json(dead: DeadLetterStore, chosen: Filter, limit: int) -> None:
    """An array on one line, written as it is read."""
    before = "["
    for letter in dead.letters(chosen, limit=limit):
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
        letters = list(dead.letters(Filter(ids=(identity,)), limit=1))
    if not letters:  # put back a moment ago, or waiting to be read again
        raise WrongUse(f"no dead letter has the id {identity!r} any more", hint="`hookline dead list` shows them")
    click.echo(json.dumps(_whole(letters[0]), indent=2))


def _line(letter: Letter) -> str:
    match letter:
        case DeadDelivery():
            what = f"{letter.webhook}  {letter.channel} {letter.status}"
        case DeadLine():
            what = "-  line"
    return f"{_id(letter)}  {_time(letter.at)}  {what}  {letter.source}:{letter.line}  {letter.reason}"


def _id(letter: Letter) -> str:
    return letter.id.hex() if isinstance(letter, DeadDelivery) else f"line-{letter.n}"


def _time(at: float) -> str:
    return utc_text(at)


def _as_json(letter: Letter) -> dict[str, Any]:
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


def _whole(letter: Letter) -> dict[str, Any]:
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
