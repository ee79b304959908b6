"""Hanging endpoints take connections, and neither the file descriptors of the spool nor those of another endpoint."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from faults.test_isolation import lines
from faulty_endpoint import Ledger, running
from hookline_process import HOOKLINE, LOOPBACK, ORGANIZATION, Lab
from waiting import wait_until

DESCRIPTORS = 200
EVENTS = 300  # for each webhook
PATIENCE = 240  # seconds; it takes a few


def write_webhook(lab: Lab, sandbox: str, url: str, delivery: dict[str, Any]) -> None:
    document = {
        "version": 1, "organization": ORGANIZATION, "sandbox": sandbox, "name": "lab", "channels": ["email"],
        "url": url, "campaigns": "all", "delivery": delivery,
    }  # fmt: skip
    path = lab.directory / "webhooks" / f"{sandbox}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))


def status(lab: Lab) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(lab.hookline("status", "--format", "json").stdout)
    return document


@pytest.mark.parametrize(("webhooks", "concurrency"), [(1, 1024), (20, 16)], ids=["one endpoint", "many endpoints"])
def test_a_good_endpoint_beside_hanging_connections(lab: Lab, webhooks: int, concurrency: int) -> None:
    """Endpoints that never answer want more connections than the process has descriptors. The good endpoint gets all
    of its events, `status` shows how many attempts wait for a connection, and the relay stops as usual."""
    common = {"timeout": "5m", "retry": {"initialDelay": "10ms", "maxDelay": "1s"}}
    hanging = [f"hangs-{number}" for number in range(webhooks)]
    with running(lab.directory / "endpoint") as endpoint:
        base = f"https://localhost:{endpoint.port}"
        for sandbox in hanging:
            write_webhook(lab, sandbox, f"{base}/as/hang", {"concurrency": concurrency, **common})
        write_webhook(lab, "good", f"{base}/feedback", {"concurrency": 16, **common})
        lab.hookline("apply", "--auto-approve")
        log = lab.directory / "events"
        log.write_bytes(b"".join(lines(name, at * EVENTS, EVENTS) for at, name in enumerate([*hanging, "good"])))
        lab.program = ("sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh", *HOOKLINE)
        ledger, seen = Ledger(endpoint.ledger), Counter[tuple[str, bool]]()
        options = ("--ca-file", str(endpoint.ca_file), "--log-level", "warning", "--grace", "1s")
        with lab.running("relay", *LOOPBACK, *options, str(log)) as relay:

            def all_arrived() -> bool:
                seen.update((entry.path, entry.accepted) for entry in ledger.news())
                return seen["/feedback", True] >= EVENTS and seen["/as/hang", False] > 0

            def waits() -> bool:
                says = status(lab)["relay"]["says"]
                return says is not None and says["connections"]["awaited"] > 0

            wait_until(all_arrived, within_seconds=PATIENCE, process=relay, detail=lambda: seen)
            wait_until(waits, within_seconds=PATIENCE, process=relay)
            says = status(lab)["relay"]["says"]
            assert says["connections"]["open"] <= says["connections"]["max"] < DESCRIPTORS
            assert says["ready"], says["unready"]
            relay.terminate()
            assert 4 == relay.wait(timeout=120)
    assert "Too many open files" not in (lab.directory / "relay.log").read_text()
    seen.update((entry.path, entry.accepted) for entry in ledger.news())
    assert seen["/as/hang", False] <= says["connections"]["max"], "nobody has answered the first ones yet"


def test_the_soft_limit_is_raised(lab: Lab) -> None:
    """A soft limit of descriptors below the hard one is raised at the start, and connections use the latter."""
    lab.apply("https://localhost:1/feedback")
    lab.program = ("sh", "-c", 'ulimit -Sn 300; ulimit -Hn 2000; exec "$@"', "sh", *HOOKLINE)
    empty = lab.directory / "events"
    empty.touch()
    with lab.running("relay", *LOOPBACK, "--follow", str(empty)) as relay:

        def soft_limit() -> str:
            lines = Path(f"/proc/{relay.pid}/limits").read_text().splitlines()
            return next(line for line in lines if line.startswith("Max open files")).split()[3]

        wait_until(lambda: soft_limit() == "2000", process=relay)
        wait_until((lab.directory / ".hookline" / "spool" / "relay.json").exists, process=relay)
        assert 1000 < status(lab)["relay"]["says"]["connections"]["max"] < 2000
