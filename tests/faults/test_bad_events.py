"""A run of events that an endpoint cannot take costs neither the other events nor the backlog."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import as_lines, xdm_event
from faulty_endpoint import Ledger, running
from hookline_process import LOOPBACK, ORGANIZATION, SANDBOX, Lab
from waiting import wait_until

BAD, GOOD = 60, 10
RELAY = ("relay", "--organization", ORGANIZATION, "--sandbox", SANDBOX, *LOOPBACK, "--log-level", "warning")


def event(number: int, request_id: str) -> dict[str, Any]:
    """An event of a message of its own."""
    one = xdm_event(number, number)
    one["_experience"]["customerJourneyManagement"]["messageProfile"]["requestID"] = request_id
    return one


@pytest.mark.parametrize("manner", ["error", "reset", "refuse", "hang"])
def test_bad_events_do_not_keep_an_endpoint_closed(lab: Lab, manner: str) -> None:
    """60 events that get 500, a reset, a 400 or no answer come before 10 good ones: these are accepted in time."""
    with running(lab.directory / "endpoint", "--requests", f"{manner}:bad-") as endpoint:
        retry = {"initialDelay": "100ms", "maxDelay": "30s", "maxAge": "30s"}
        delivery = {"concurrency": 16, "timeout": "1s", "retry": retry}
        lab.apply(f"https://localhost:{endpoint.port}/feedback", delivery=delivery)
        events = [event(n, f"bad-{n}") for n in range(BAD)] + [event(BAD + n, f"good-{n}") for n in range(GOOD)]
        log = lab.directory / "events"
        log.write_bytes(as_lines(events))
        ledger, accepted = Ledger(endpoint.ledger), set[str]()
        with lab.running(*RELAY, "--ca-file", str(endpoint.ca_file), "--grace", "1s", str(log)) as relay:

            def all_good_ones() -> bool:
                accepted.update(entry.request_id for entry in ledger.news() if entry.accepted)
                return len(accepted) == GOOD

            wait_until(all_good_ones, within_seconds=60, process=relay, detail=lambda: accepted)
    assert {f"good-{n}" for n in range(GOOD)} == accepted


def test_an_endpoint_that_refuses_everything_keeps_its_backlog(lab: Lab) -> None:
    """100 events get 400, because a proxy misses its certificate. At most 20 are dead letters, the others wait, and
    are delivered once the endpoint works."""
    with running(lab.directory / "endpoint") as endpoint:
        delivery = {"concurrency": 8, "retry": {"initialDelay": "50ms", "maxDelay": "500ms"}}
        lab.apply(f"https://localhost:{endpoint.port}/as/refuse", delivery=delivery)
        log = lab.write_events("events", (event(n, f"request-{n}") for n in range(100)))
        options = (*RELAY, "--ca-file", str(endpoint.ca_file), "--summary", "json")
        first = json.loads(lab.hookline(*options, "--max-wait", "1s", str(log), code=4).stdout)
        assert first["dead"] <= 20
        assert 100 == first["dead"] + first["pending"]
        lab.apply(f"https://localhost:{endpoint.port}/feedback", delivery=delivery)
        second = json.loads(lab.hookline(*options, "--drain").stdout)
        assert (first["pending"], 0) == (second["delivered"], second["pending"])
