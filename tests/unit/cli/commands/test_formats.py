"""`formats`: the list, and the test of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hookline.cli.main import main
from hookline.relay.delivery_record import Line, Rejected, RoutingResult
from hookline.relay.formats.registry import DESCRIPTIONS, FORMATS
from hookline.relay.ingest.batch import IngestContext, route_line
from hookline.relay.routing import Defaults, Routes

CASES = Path(__file__).parents[3] / "cases" / "formats"
SENDGRID = str(CASES / "sendgrid" / "batch-in-one-line" / "input.ndjson")
PLACED = ("--organization", "ACME@AdobeOrg", "--sandbox", "prod")
Output = pytest.CaptureFixture[str]


def trial(capsys: Output, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["formats", "test", "--output", "json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_every_format_is_listed_and_described(capsys: Output) -> None:
    """The list has a row for each format, with a description of its lines."""
    assert set(FORMATS) == set(DESCRIPTIONS)
    assert 0 == main(["formats"])
    output = capsys.readouterr().out.splitlines()
    assert list(FORMATS) == [row.split()[0] for row in output[1:]]


@pytest.mark.parametrize("name", list(FORMATS))
def test_statuses_of_a_format_are_the_platforms(name: str) -> None:
    """Each of a provider's statuses maps to one of the four relayed statuses, or to none."""
    assert {"sent", "delivered", "bounce", "error"} >= set(FORMATS[name].STATUSES.values())
    assert set() == set(FORMATS[name].STATUSES) & set(FORMATS[name].OTHERS)


def test_events_and_unknown_statuses_are_shown(capsys: Output) -> None:
    """Shows each event as the relay would read it, skipped statuses by name, and the counts."""
    code, report = trial(capsys, *PLACED, SENDGRID)
    assert 0 == code
    first = report["events"][0]
    expected = {
        "line": 1,
        "format": "sendgrid",
        "status": "sent",
        "recipient": "reader1@example.com",
        "missing": ["campaign"],
    }
    assert expected.items() <= first.items()
    assert {
        "line": 1,
        "format": "sendgrid",
        "skipped": "status_not_relayed",
        "name": "deferred",
        "unknown": False,
    } in report["events"]
    assert {
        "formats": {"sendgrid": 6},
        "relayed": {"sent": 2, "delivered": 1},
        "skipped": {f"status_not_relayed:{name}": 1 for name in ("click", "deferred", "open")},
        "unknown": {},
        "rejected": 0,
        "missing": {"campaign": 3},
    } == report["summary"]


def test_novelties_are_told_from_what_is_known_and_not_relayed(capsys: Output) -> None:
    """A documented status is only skipped; an undocumented one is also output as unknown."""
    log = str(CASES / "sendgrid" / "unknown-event-is-counted-by-name" / "input.ndjson")
    _, report = trial(capsys, *PLACED, log)
    assert {"machine_opened": 2} == report["summary"]["unknown"]
    assert [True, True, False, False] == [event["unknown"] for event in report["events"]]
    main(["formats", "test", *PLACED, log])
    assert "unknown     machine_opened 2: not in" in capsys.readouterr().out


def test_missing_fields_are_named_with_what_supplies_them(capsys: Output) -> None:
    """The table lists missing fields and the option that supplies each; the command then exits with 3."""
    assert 3 == main(["formats", "test", SENDGRID])
    output = capsys.readouterr().out
    assert "organization in 3: --organization, or --map organization=PATH" in output
    assert "sandbox in 3: --sandbox, or --map sandbox=PATH" in output
    assert 0 == main(["formats", "test", *PLACED, "--campaign", "C-1", SENDGRID])
    assert "missing " not in capsys.readouterr().out.partition("recognized")[2]


def relayed(log: Path, *, organization: str | None, sandbox: str | None) -> list[RoutingResult]:
    """The routing result of each event, apart from the missing webhook."""
    context = IngestContext(routes=Routes({}, {}), defaults=Defaults(organization=organization, sandbox=sandbox))
    lines = log.read_bytes().splitlines()
    return [
        result
        for number, line in enumerate(lines, 1)
        for _, _, result in route_line(Line(number, line, len(line)), context)
    ]


SENT: dict[str, Any] = {
    "requestId": "R", "channel": "email", "messageDeliveryFeedback": {"feedbackStatus": {"value": "sent"}}
}  # fmt: skip
ODD: dict[str, dict[str, Any]] = {
    "sent": {},
    "delay": {"messageDeliveryFeedback": {"feedbackStatus": {"value": "delay"}}},
    "no status": {"messageDeliveryFeedback": {"feedbackStatus": {"value": ""}}},
    "push": {"channel": "push"},
    "no channel": {"channel": ""},
}


@pytest.mark.parametrize("organization", [None, "ACME@AdobeOrg"])
@pytest.mark.parametrize("sandbox", [None, "prod"])
@pytest.mark.parametrize("odd", list(ODD))
def test_what_the_relay_rejects_counts_as_refused(
    capsys: Output, tmp_path: Path, odd: str, organization: str | None, sandbox: str | None
) -> None:
    """Only an event that the relay would reject for any webhook causes exit code 3."""
    log = tmp_path / "log"
    log.write_text(json.dumps(SENT | {"campaignID": "C-1"} | ODD[odd]) + "\n")
    (fate,) = relayed(log, organization=organization, sandbox=sandbox)
    options = [f"--{name}={value}" for name, value in (("organization", organization), ("sandbox", sandbox)) if value]
    code, output = trial(capsys, *options, str(log))
    rejected = isinstance(fate, Rejected) or "rejected" in output["events"][0]
    assert 3 * rejected == code
    if isinstance(fate, Rejected) and fate.reason.startswith(("no organization", "no sandbox")):
        assert fate.reason.split()[1].rstrip(":") == output["events"][0]["missing"][0]


def test_an_id_that_nobody_claims_goes_by_the_command_line(capsys: Output, tmp_path: Path) -> None:
    """Beside a sandbox's id, the output shows the sandbox that the relay uses if no webhook has that id."""
    log = tmp_path / "log"
    log.write_text(json.dumps(SENT | {"sandbox": {"id": "068abf40", "name": None}}) + "\n")
    assert "068abf40" == trial(capsys, "--organization", "A", str(log))[1]["events"][0]["sandbox"]
    assert "prod" == trial(capsys, *PLACED, str(log))[1]["events"][0]["sandbox"]


def test_paths_and_named_formats_are_tried_as_the_relay_would(capsys: Output, tmp_path: Path) -> None:
    """--map supplies the field; a line that the named format cannot read is rejected with the reason."""
    log = tmp_path / "log"
    event = {"event": "delivered", "email": "a@example.com", "sg_event_id": "1", "shop": {"campaign": 77}}
    log.write_text(f'{json.dumps(event)}\n{{"hello": 1}}\n')
    code, report = trial(capsys, *PLACED, "--format", "sendgrid", "--map", "campaign=shop.campaign", str(log))
    assert 3 == code
    assert "77" == report["events"][0]["campaign"]
    assert {"line": 2, "format": "sendgrid", "rejected": "event: missing"} == report["events"][1]


def test_sms_failure_keeps_the_senders_wording(capsys: Output) -> None:
    """The output shows the failure as it would be sent, and the detail that only `trace` shows."""
    _, report = trial(capsys, *PLACED, str(CASES / "twilio" / "json-callbacks" / "input.ndjson"))
    failed = report["events"][2]
    expected = {"category": "async", "type": None, "code": "30003", "reason": "Unreachable destination handset"}
    assert expected == failed["failure"]
    assert "Unreachable destination handset" == failed["detail"]


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (("--map", "color=x"), "is not a field; the fields are: organization"),
        (("--map", "campaign"), "does not have the form FIELD=PATH"),
        (("--timezone", "Mars/Olympus"), "is not a time zone (write Europe/Paris, UTC or +02:00)"),
        (("--timezone", "+99:99"), "is not a time zone"),
        (("--timezone", "../etc"), "is not a time zone"),
    ],
)
def test_wrong_option_is_told_with_the_right_form(capsys: Output, option: tuple[str, str], complaint: str) -> None:
    """A misspelt field, form or zone is wrong use; the message gives the correct form."""
    assert 64 == main(["formats", "test", *option, SENDGRID])
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_hostile_text_does_not_reach_the_terminal(capsys: Output, tmp_path: Path) -> None:
    """A recipient or a status with control characters is shown escaped."""
    log = tmp_path / "log"
    events = [
        {"event": "a\x1b[31m", "email": "a", "timestamp": 1},
        {"event": "sent?", "email": "\x07", "timestamp": 1},
    ]
    log.write_text("\n".join(json.dumps(one | {"event": one["event"]}) for one in events) + "\n")
    main(["formats", "test", str(log)])
    assert "\x1b" not in capsys.readouterr().out


def test_line_that_is_not_whole_is_left_as_the_relay_leaves_it(capsys: Output, tmp_path: Path) -> None:
    """A last line without a line end is read if it is complete. Otherwise it is named, and the exit code is 3."""
    log = tmp_path / "mail.log"
    sent = "to=<a@example.com>, relay=m, dsn=2.0.0, status=sent (250 OK)"
    log.write_text("".join(f"2026-10-10T01:23:4{n}Z mx1 postfix/smtp[1]: A{n}: {sent}\n" for n in range(2))[:-30])
    assert 3 == main(["formats", "test", *PLACED, str(log)])
    output = capsys.readouterr()
    assert "recognized  postfix 1\n" in output.out
    assert "has no line end" in output.err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type":"email.bounced"}\n[{"event":"failed"}]\n\n', 3),
        ('{"log":"hello\\n","stream":"stdout","time":"x"}\n', 0),
        ("Oct 10 01:23:46 mx1 cron: hello\n", 0),
        ("\n\n", 0),
        ("", 0),
    ],
)
def test_a_file_in_which_nothing_is_recognized_ends_with_3(
    tmp_path: Path, capsys: Output, text: str, code: int
) -> None:
    """A line of a known program is recognized. A file without lines is no mistake."""
    (tmp_path / "log").write_text(text)
    assert code == main(["formats", "test", *PLACED, str(tmp_path / "log")])
    captured = capsys.readouterr()
    assert ("no line was recognized" in captured.err) is (code == 3)
    code_of_json, report = trial(capsys, *PLACED, str(tmp_path / "log"))
    assert code == code_of_json
    if code == 3:
        assert {"unknown_format:email.bounced": 1, "unknown_format:failed": 1, "not_an_event": 1} == report[
            "summary"
        ]["skipped"]


def test_a_list_shows_the_format_of_each_item(tmp_path: Path, capsys: Output) -> None:
    """Items of several formats, and one of none."""
    items = [{"event": "open", "email": "a", "timestamp": 1}, {"RecordType": "Open"}, {"hello": 1}]
    (tmp_path / "log").write_text(json.dumps(items))
    _, report = trial(capsys, *PLACED, str(tmp_path / "log"))
    assert {"sendgrid": 1, "postmark": 1, "none": 1} == report["summary"]["formats"]


def test_results_that_are_not_understood_are_shown(tmp_path: Path, capsys: Output) -> None:
    """They have a row of their own, and a file that holds nothing else is not recognized."""
    (tmp_path / "log").write_text("Oct 10 01:23:46 mx1 sendmail[1]: A1: to=<a@b>, relay=x, status=sent (ok)\n")
    assert 3 == main(["formats", "test", *PLACED, str(tmp_path / "log")])
    assert "unread      unread_outcome 1: not understood" in capsys.readouterr().out
