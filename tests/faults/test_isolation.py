"""One endpoint never delays another: beside those that are down in every way, a good one gets all of its events."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from builders import as_lines, xdm_event
from faulty_endpoint import Endpoint, Ledger, running
from hookline_process import LOOPBACK, ORGANIZATION, Lab
from waiting import wait_until

EVENTS = 1_500  # for each webhook: more than a lane holds at once
PATIENCE = 240  # seconds; it takes a few


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port that is taken, and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def apply(lab: Lab, endpoint: Endpoint, refusing: int) -> None:
    """Four webhooks, by the name of their sandbox; nobody gives up on the one that hangs."""
    delivery = {"concurrency": 16, "timeout": "5m", "retry": {"initialDelay": "10ms", "maxDelay": "1s"}}
    for sandbox, url in {
        "hangs": f"https://localhost:{endpoint.port}/as/hang",
        "fails": f"https://localhost:{endpoint.port}/as/error",
        "refuses": f"https://localhost:{refusing}/feedback",
        "good": f"https://localhost:{endpoint.port}/feedback",
    }.items():
        lab.apply(url, sandbox=sandbox, delivery=delivery)


def lines(sandbox: str, first: int, events: int = EVENTS) -> bytes:
    """Events of one webhook, each of a message of its own."""
    return as_lines(
        {
            "requestId": f"request-{number}", "channel": "email",
            "imsOrg": ORGANIZATION, "sandbox": {"name": sandbox},
            "messageExecution": {"messageExecutionID": f"message-{number}", "messageType": "transactional"},
            "messageDeliveryFeedback": {"feedbackStatus": {"value": "sent"}},
        }
        for number in range(first, first + events)
    )  # fmt: skip


def test_a_good_endpoint_beside_bad_ones(lab: Lab, refusing: int) -> None:
    """All of its events are accepted, also those behind everybody else's in the file, while the bad ones wait."""
    with running(lab.directory / "endpoint") as endpoint:
        apply(lab, endpoint, refusing)
        names = ("hangs", "fails", "refuses", "good")
        log = lab.directory / "events"
        log.write_bytes(b"".join(lines(name, at * EVENTS) for at, name in enumerate(names)))
        ledger, seen = Ledger(endpoint.ledger), Counter[tuple[str, bool]]()
        options = ("--ca-file", str(endpoint.ca_file), "--log-level", "warning", "--grace", "1s")
        with lab.running("relay", *LOOPBACK, *options, str(log)) as relay:

            def all_arrived() -> bool:
                seen.update((entry.path, entry.accepted) for entry in ledger.news())
                return seen["/feedback", True] >= EVENTS and len(seen) >= 3

            wait_until(all_arrived, within_seconds=PATIENCE, process=relay, detail=lambda: seen)
            relay.terminate()
            assert 4 == relay.wait(timeout=120)
    assert {("/feedback", True), ("/as/hang", False), ("/as/error", False)} == seen.keys()
    assert seen["/as/hang", False] <= 16, "nobody has answered the first ones yet"


@pytest.mark.parametrize("source", ["file", "pipe"])
def test_a_full_spool_behind_a_held_webhook_does_not_hold_a_finite_run(lab: Lab, source: str) -> None:
    """All that is pending is of a disabled webhook, and there is no room for more: the run ends with 4 and says why;
    a file is read on from there."""
    events = [xdm_event(n, n) for n in range(1_500)]
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", enabled=False)
        name = str(lab.write_events("events", events)) if source == "file" else "-"
        arguments = lab.relay_arguments(receiver, "--spool-max", "100", "--summary", "json", name)
        done = lab.hookline(*arguments, stdin=as_lines(events) if source == "pipe" else None, code=4)
        assert b"the spool is full (--spool-max 100)" in done.stderr
        assert 100 <= json.loads(done.stdout)["pending"] < 1_500
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        assert 0 == lab.relay(receiver, name, stdin=as_lines(events) if source == "pipe" else None)["pending"]
        assert set(range(1_500)) == {
            int(one["body"]["requestId"].removeprefix("request-")) for one in receiver.records()
        }
