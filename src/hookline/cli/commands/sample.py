"""`hookline sample`: print realistic events for an applied webhook."""

from __future__ import annotations

import shlex
import time
import uuid

import click

from hookline.cli.applied_state import find, read_applied
from hookline.cli.completions import complete_addresses
from hookline.cli.options import choice_option, examples, state_option
from hookline.errors import HooklineError, WrongUse
from hookline.model import Channel, FeedbackStatus, Webhook
from hookline.relay.formats.samples.sample_lines import SAMPLE_FORMATS, needed_options
from hookline.relay.formats.samples.sample_message import SampleMessage
from hookline.state.store import Snapshot

MAX_SAMPLES = 100_000
_ANY_CAMPAIGN = "CAMPAIGN-1"
_USUAL_TYPE = "transactional"


@click.command(
    epilog=examples(
        "hookline sample bounce | hookline relay -",
        "hookline sample delivered --channel sms --format twilio --webhook ACME@AdobeOrg/prod",
        exits="0 done, 1 the webhook or the format has no such event, 8 the state cannot be used",
    )
)
@click.argument("status", type=click.Choice(list(map(str, FeedbackStatus))))
@click.option(
    "--webhook",
    "address",
    metavar="ORG/SANDBOX",
    shell_complete=complete_addresses,
    help="The applied webhook. Not needed if only one is applied.",
)
@click.option(
    "--channel",
    type=click.Choice(list(map(str, Channel))),
    help="The channel of the message. Default: the first that webhook and format have.",
)
@choice_option("--format", forms=[*SAMPLE_FORMATS], help="The format of the lines (see: hookline formats).")
@click.option(
    "--count",
    type=click.IntRange(min=1, max=MAX_SAMPLES),
    default=1,
    help="The number of events, each of a message of its own.",
)
@state_option
def sample_command(
    *, status: str, address: str | None, channel: str | None, format: str, count: int, state: str
) -> None:
    """Print realistic events with the feedback status STATUS for an applied webhook, ready to pipe into `relay`.

    Standard error shows the options that `relay` needs for the format. Nothing is read but the state, and nothing is
    delivered. Each call prints other messages, so that the relay does not find duplicates.
    """
    webhook = _choose_webhook(read_applied(state), address)
    wanted = FeedbackStatus(status)
    chosen = _choose_channel(webhook, wanted, format, channel)
    message = _message(webhook, chosen, wanted, format)
    options = shlex.join(("hookline", "relay", *needed_options(format, message), "-"))
    click.echo(f"pipe it into: {options}", err=True)
    if note := _skip_note(webhook, message):
        click.echo(f"note: the relay will skip it: {note}", err=True)
    for _ in range(count):
        click.echo(SAMPLE_FORMATS[format].line(_message(webhook, chosen, wanted, format)))


def _choose_webhook(snapshot: Snapshot, address: str | None) -> Webhook:
    if address is not None:
        return find(snapshot, address).webhook
    match list(snapshot.webhooks.values()):
        case []:
            raise HooklineError("no webhook is applied", hint="apply one: hookline apply")
        case [only]:
            return only.webhook
        case several:
            first = min(one.webhook.address for one in several)
            raise WrongUse(
                f"{len(several)} webhooks are applied, and none is named", hint=f"name one: --webhook {first}"
            )


def _choose_channel(webhook: Webhook, status: FeedbackStatus, format: str, channel: str | None) -> Channel:
    known = SAMPLE_FORMATS[format]
    usable = [name for name, one in SAMPLE_FORMATS.items() if status in one.statuses]
    if status not in known.statuses:
        raise HooklineError(f"{format} has no event with the status {status}", hint=f"use one of {', '.join(usable)}")
    if channel is not None and channel not in known.channels:
        usable = [name for name in usable if channel in SAMPLE_FORMATS[name].channels]
        raise HooklineError(f"{format} has no events of {channel}", hint=f"use one of {', '.join(usable)}")
    if channel is not None:
        return Channel(channel)
    both = [one for one in Channel if one in known.channels and one in webhook.channels]
    return both[0] if both else next(one for one in Channel if one in known.channels)


def _message(webhook: Webhook, channel: Channel, status: FeedbackStatus, format: str) -> SampleMessage:
    types = webhook.message_types
    chosen = _USUAL_TYPE if _USUAL_TYPE in types else min(types)
    if chosen != _USUAL_TYPE and not SAMPLE_FORMATS[format].has_campaign:
        raise HooklineError(
            f"{format} names no message type, and {webhook.address} selects only {', '.join(sorted(types))}",
            hint="use --format payload",
        )
    return SampleMessage(
        webhook=webhook,
        channel=channel,
        status=status,
        message_type=chosen,
        campaign=min(webhook.campaigns) if webhook.campaigns else _ANY_CAMPAIGN,
        token=uuid.uuid4().hex,
        at=time.time(),
    )


def _skip_note(webhook: Webhook, message: SampleMessage) -> str | None:
    """Why the webhook does not receive the event, if it does not."""
    if message.status not in webhook.events:
        return f"the events of {webhook.address} do not include {message.status}"
    if message.channel not in webhook.channels:
        return f"the channels of {webhook.address} do not include {message.channel}"
    return None
