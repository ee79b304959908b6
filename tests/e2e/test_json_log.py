"""`--log-format json` holds for everything that a relay writes to stderr."""

from __future__ import annotations

import json
from typing import Any

from builders import xdm_event
from hookline_process import Lab

JSON = ("--log-format", "json")


def events_of(stderr: bytes) -> dict[str, dict[str, Any]]:
    """The lines by their event. Every line must be an object with the fields of a log line."""
    lines = [json.loads(line) for line in stderr.decode().splitlines()]
    assert lines
    assert all({"time", "level", "event"} <= line.keys() for line in lines)
    return {line["event"]: line for line in lines}


def test_summary_and_messages(lab: Lab) -> None:
    """A run that leaves deliveries pending ends with its accounting and the next step, as log lines."""
    lab.apply("https://127.0.0.1.example.invalid/feedback")
    log = str(lab.write_events("events", [xdm_event(1, 1)]))
    where = ("--organization", "acme@AdobeOrg", "--sandbox", "prod", "--log-level", "warning")
    lines = events_of(lab.hookline("relay", *JSON, *where, "--max-wait", "100ms", log, code=4).stderr)
    assert {"read": 1, "pending": 1}.items() <= lines["summary"].items()
    assert "hookline relay --drain" in lines["message"]["message"]


def test_errors(lab: Lab) -> None:
    """An error has its message, its hint and its exit code."""
    line = events_of(lab.hookline("relay", *JSON, "events", code=8).stderr)["error"]
    assert ("error", 8) == (line["level"], line["code"])
    assert "no stored state exists" in line["message"]
    assert "hookline apply" in line["hint"]


def test_wrong_use(lab: Lab) -> None:
    """A wrong option is an error in the same form, wherever the format is given."""
    for arguments in ((*JSON, "--grase", "1s"), ("--grace", "soon", "--log-format=json"), ("--drain", *JSON, "x")):
        line = events_of(lab.hookline("relay", *arguments, code=64).stderr)["error"]
        assert ("error", 64) == (line["level"], line["code"])
    lab.environment["HOOKLINE_RELAY_LOG_FORMAT"] = "json"
    assert "error" in events_of(lab.hookline("relay", "--grase", "1s", code=64).stderr)


def test_errors_before_the_run(lab: Lab) -> None:
    """A location that is refused while the options are read is an error in the same form, and names its variable."""
    lab.environment["HOOKLINE_STATE"] = "postgresql:/db"
    line = events_of(lab.hookline("relay", *JSON, "events", code=64).stderr)["error"]
    assert ("error", 64) == (line["level"], line["code"])
    assert "HOOKLINE_STATE" in line["note"]
    line = events_of(lab.hookline("relay", "--spool", "nats://host/stream", *JSON, "events", code=64).stderr)["error"]
    assert "--spool" in line["message"]


def test_a_misspelt_variable(lab: Lab) -> None:
    """The warning of a variable that no option reads is a line of JSON too."""
    lab.environment |= {"HOOKLINE_RELAY_LOG_FORMAT": "json", "HOOKLINE_RELAY_MAX_WIAT": "3s"}
    assert "HOOKLINE_RELAY_MAX_WAIT" in events_of(lab.hookline("relay", "x", code=8).stderr)["message"]["message"]
