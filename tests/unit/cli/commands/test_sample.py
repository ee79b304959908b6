"""`hookline sample`: the relay reads and routes each printed line, with the options that are shown."""

from __future__ import annotations

import shlex
from itertools import product
from pathlib import Path
from typing import Any

import click
import pytest

from builders import document, entry, line, routes
from hookline.cli.ingest_options import defaults_options, line_format_option
from hookline.cli.main import main
from hookline.model import Address, Channel, FeedbackStatus
from hookline.receiver.verification import PayloadCheck
from hookline.relay.delivery_record import Delivery, RoutingResult
from hookline.relay.event import Event
from hookline.relay.formats.line_reader import read_with_format
from hookline.relay.formats.registry import FORMATS
from hookline.relay.formats.samples.sample_lines import SAMPLE_FORMATS
from hookline.relay.routing import Defaults, Routes
from hookline.state.factory import open_state
from hookline.state.store import EMPTY

SMALL = document("prod", channels=["email", "sms"], campaigns=["CAMPAIGN-7"], sandboxId="id-7")
OPEN = document("prod", channels=["email", "sms"])
POSSIBLE = [
    (format, str(status), str(channel))
    for format, one in SAMPLE_FORMATS.items()
    for status in FeedbackStatus
    for channel in Channel
    if status in one.statuses and channel in one.channels
]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def applied(*documents: dict[str, Any]) -> Routes:
    """The routes of the webhooks, which are applied to the default state."""
    webhooks = {Address(one["organization"], one["sandbox"]): one for one in documents}
    open_state(".hookline/state.db").commit(EMPTY, webhooks, entry())
    return routes(*documents)


@click.command
@click.argument("file")
@line_format_option
@defaults_options
def _relay(file: str, format: str, defaults: Defaults) -> tuple[str, Defaults]:
    """The options of the relay that concern lines."""
    return format, defaults


def relayed(printed: pytest.CaptureFixture[str], known: Routes) -> list[tuple[str | None, RoutingResult]]:
    """What the relay makes of each printed line with the shown options, with the format that recognized it."""
    out, err = printed.readouterr()
    arguments = shlex.split(err.splitlines()[0].removeprefix("pipe it into: hookline relay "))
    format, defaults = _relay.main(arguments, standalone_mode=False)
    results: list[tuple[str | None, RoutingResult]] = []
    for number, text in enumerate(out.splitlines(), 1):
        for name, event in read_with_format(line(text.encode(), number), format, defaults.mapping):
            results.append((name, known.route(event, defaults) if isinstance(event, Event) else event))
    return results


def test_every_format_has_samples() -> None:
    """Each format that `hookline formats` lists, with at least three of the four statuses."""
    assert set(FORMATS) == set(SAMPLE_FORMATS)
    assert set() == {name for name, one in SAMPLE_FORMATS.items() if len(one.statuses) < 3}


@pytest.mark.parametrize("applied_document", [SMALL, OPEN], ids=["one-campaign", "all-campaigns"])
def test_each_sample_becomes_the_feedback_that_was_asked_for(
    applied_document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The relay recognizes the format by itself, finds the webhook, and delivers status and channel."""
    known = applied(applied_document)
    for format, status, channel in POSSIBLE:
        assert 0 == main(["sample", status, "--format", format, "--channel", channel])
        ((name, result),) = relayed(capsys, known)
        assert isinstance(result, Delivery), (format, status, channel, result)
        assert (format, status, channel) == (name, result.status, result.channel)


def test_options_are_only_those_that_the_format_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """A payload names everything; a provider's event no address; Postfix and SMS providers no campaign either."""
    applied(SMALL)
    shown = {}
    for format in ("payload", "ses", "postfix", "twilio", "dead-letter"):
        assert 0 == main(["sample", "bounce", "--format", format])
        shown[format] = capsys.readouterr().err.strip()
    place = "--organization acme --sandbox prod"
    assert {
        "payload": "pipe it into: hookline relay -",
        "ses": f"pipe it into: hookline relay {place} -",
        "postfix": f"pipe it into: hookline relay {place} --campaign CAMPAIGN-7 -",
        "twilio": f"pipe it into: hookline relay {place} --campaign CAMPAIGN-7 -",
        "dead-letter": "pipe it into: hookline relay --format dead-letter -",
    } == shown


def test_every_event_is_another_message(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten events of two calls have ten ids, so the relay finds no duplicate."""
    known = applied(OPEN)
    ids = set()
    for format in SAMPLE_FORMATS:
        for _ in range(2):
            assert 0 == main(["sample", "delivered", "--format", format, "--count", "5"])
            ids |= {result.id for _, result in relayed(capsys, known) if isinstance(result, Delivery)}
    assert 10 * len(SAMPLE_FORMATS) == len(ids)


def test_a_webhook_must_be_named_if_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name the command is refused, and the hint can be copied."""
    known = applied(document("prod"), document("stage", channels=["sms"]))
    assert 64 == main(["sample", "sent"])
    assert (
        "error: 2 webhooks are applied, and none is named\n  hint: name one: --webhook acme/prod\n"
        == capsys.readouterr().err
    )
    assert 0 == main(["sample", "sent", "--webhook", "acme/stage"])
    ((_, result),) = relayed(capsys, known)
    assert isinstance(result, Delivery)
    assert (Address("acme", "stage"), "sms") == (result.address, result.channel)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["sent", "--format", "postfix"],
            "error: postfix has no event with the status sent\n  hint: use one of payl",
        ),
        (["sent", "--format", "ses", "--channel", "sms"], "error: ses has no events of sms\n  hint: use one of payl"),
        (["sent", "--webhook", "acme/other"], "error: no webhook is applied for acme/other"),
    ],
)
def test_an_impossible_event_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the formats that have such an event."""
    applied(OPEN)
    assert 1 == main(["sample", *arguments])
    assert capsys.readouterr().err.startswith(message)


def test_an_event_that_the_webhook_does_not_select_is_printed_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    """So that a user can try that the relay skips it."""
    applied(document("prod", events=["bounce"]))
    assert 0 == main(["sample", "sent"])
    assert "note: the relay will skip it: the events of acme/prod do not include sent" in capsys.readouterr().err
    assert 0 == main(["sample", "bounce", "--channel", "sms"])
    assert "note: the relay will skip it: the channels of acme/prod do not include sms" in capsys.readouterr().err


def test_another_message_type_is_in_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    """A webhook for marketing gets a marketing event; a format without message types is refused."""
    known = applied(document("prod", messageTypes=["marketing"]))
    assert 0 == main(["sample", "bounce", "--format", "sendgrid"])
    ((_, result),) = relayed(capsys, known)
    assert isinstance(result, Delivery)
    assert 1 == main(["sample", "bounce", "--format", "postfix"])
    assert "postfix names no message type, and acme/prod selects only marketing" in capsys.readouterr().err


def test_a_payload_is_what_an_endpoint_receives(capsys: pytest.CaptureFixture[str]) -> None:
    """Each sample in the default format is valid for the schema of structure 1."""
    applied(OPEN)
    check = PayloadCheck()
    for status, channel in product(FeedbackStatus, Channel):
        assert 0 == main(["sample", str(status), "--channel", str(channel)])
        assert check.check(capsys.readouterr().out.strip().encode()) is True
