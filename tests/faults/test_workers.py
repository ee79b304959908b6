"""Worker processes: they share the work and nothing else; whichever process dies, no event is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab import LOOPBACK, ORGANIZATION, SANDBOX, Lab, adds_up, children, is_there, xdm_event
from rough_endpoint import Endpoint, Ledger, running
from soaking import Audit, line_of

WORKERS = 2  # beside the relay itself


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def status(lab: Lab) -> dict[str, Any]:
    says: dict[str, Any] = json.loads(lab.hookline("status", "--format", "json").stdout)
    return says


def processes(relay: subprocess.Popen[bytes]) -> list[int]:
    """Those of the workers, once all are there."""
    wait_until(lambda: len(children(relay.pid)) == WORKERS)
    return children(relay.pid)


@contextmanager
def relaying(
    lab: Lab, endpoint: Endpoint, *arguments: str, delivery: dict[str, Any] | None = None, **popen: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A relay with workers."""
    retry = {"initialDelay": "10ms", "maxDelay": "200ms", "maxAge": "24h"}
    policy = {"concurrency": 16, "retry": retry, **(delivery or {})}
    lab.apply(f"https://localhost:{endpoint.port}/feedback", delivery=policy)
    options = ("--summary", "json", "--ca-file", str(endpoint.ca_file), "--workers", str(WORKERS + 1))
    where = ("--organization", ORGANIZATION, "--sandbox", SANDBOX)
    with lab.running("relay", *where, *LOOPBACK, *options, *arguments, **popen) as relay:
        yield relay


@pytest.fixture
def events(lab: Lab) -> tuple[str, int]:
    """A log with messages of three events each, and how many events it holds."""
    path = lab.directory / "events"
    path.write_bytes(b"".join(map(line_of, range(6_000))))
    return str(path), 6_000


def test_a_worker_that_is_killed_costs_nothing(lab: Lab, events: tuple[str, int]) -> None:
    """Killed again and again in the middle of its requests: each is replaced, every event arrives, in order, and the
    endpoint is not thought to be at fault."""
    log, number = events
    with running(lab.directory / "endpoint") as endpoint:
        audit = Audit(endpoint.ledger)
        with relaying(lab, endpoint, log) as relay:
            for target in (500, 1_500, 2_500):
                wait_until(lambda target=target: audit.accepted() > target)  # type: ignore[misc]
                os.kill(children(relay.pid)[0], signal.SIGKILL)
            out, _ = relay.communicate(timeout=120)
        summary = json.loads(out)
        assert (0, number, 0) == (relay.returncode, summary["delivered"], summary["pending"])
        assert adds_up(summary)
        assert summary["attempts"] == number
        assert set() == audit.missing(number)
        assert [] == audit.out_of_order()
        assert 3 == relay_log(lab).count("a worker process has ended")
        assert "waiting" not in relay_log(lab)


def test_a_worker_that_is_stuck_is_ended(lab: Lab, events: tuple[str, int]) -> None:
    """One that does not answer beyond its requests' deadlines is ended; others make those requests."""
    log, number = events
    with running(lab.directory / "endpoint") as endpoint:
        audit = Audit(endpoint.ledger)
        with relaying(lab, endpoint, log, delivery={"timeout": "1s"}) as relay:
            wait_until(lambda: audit.accepted() > 500)
            stuck = processes(relay)[0]
            os.kill(stuck, signal.SIGSTOP)
            out, _ = relay.communicate(timeout=120)
        assert (0, number) == (relay.returncode, json.loads(out)["delivered"])
        assert f"does not answer and is ended process={stuck}" in relay_log(lab)
        assert set() == audit.missing(number)
        assert [] == audit.out_of_order()


def test_workers_end_with_their_relay(lab: Lab, events: tuple[str, int]) -> None:
    """A relay that is killed leaves no worker behind; the next one loses nothing."""
    log, number = events
    with running(lab.directory / "endpoint") as endpoint:
        audit = Audit(endpoint.ledger)
        with relaying(lab, endpoint, log) as relay:
            wait_until(lambda: audit.accepted() > 500)
            workers = processes(relay)
            relay.kill()
            wait_until(lambda: not any(map(is_there, workers)))
        with relaying(lab, endpoint, log) as relay:
            workers = processes(relay)
            assert 0 == relay.wait(timeout=120)
        assert not any(map(is_there, workers))
        assert set() == audit.missing(number)
        assert [] == audit.out_of_order()


def test_a_signal_to_all_of_them_stops_in_good_order(lab: Lab) -> None:
    """Ctrl-C and service managers signal every process: the workers go on until what is in flight is finished."""
    with lab.receiver("--delay", "1s") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        log = str(lab.write_events("events", (xdm_event(n, n) for n in range(200))))
        arguments = lab.relay_arguments(receiver, "--workers", "3", "--summary", "json", log)
        with lab.running(*arguments) as relay:
            workers = processes(relay)
            wait_until(receiver.records)
            wait_until(lambda: status(lab)["relay"]["says"]["workers"] == sorted(workers))
            for process in (*workers, relay.pid):
                os.kill(process, signal.SIGINT)
            for process in workers:
                os.kill(process, signal.SIGTERM)
            out, _ = relay.communicate(timeout=60)
        summary = json.loads(out)
        assert 4 == relay.returncode
        assert 0 < summary["delivered"] == len(receiver.accepted()) == len(set(receiver.accepted()))
        assert not any(map(is_there, workers))


def test_an_endpoints_limits_hold_for_all_workers_together(lab: Lab, events: tuple[str, int]) -> None:
    """Whatever the number of workers: never more requests at once than the webhook's concurrency."""
    with running(lab.directory / "endpoint", "--share", "hang:1") as endpoint:
        ledger = Ledger(endpoint.ledger)
        arrived: list[object] = []
        with relaying(lab, endpoint, events[0], delivery={"timeout": "1m", "concurrency": 3}) as relay:

            def three_came() -> bool:
                arrived.extend(ledger.news())
                return len(arrived) >= 3

            wait_until(three_came)
            time.sleep(1)
            three_came()
            assert relay.poll() is None
    assert 3 == len(arrived)


def test_certificates_and_tokens_come_over(lab: Lab) -> None:
    """A webhook with a JWT and headers of its own is delivered by workers as it is without."""
    (lab.secrets / "key").write_text("k" * 64)
    (lab.secrets / "key").chmod(0o600)
    with lab.receiver() as receiver:
        lab.apply(
            f"https://localhost:{receiver.port}/feedback",
            headers={"X-Team": "crm"},
            authentication={
                "type": "jwt", "algorithm": "HS256", "keys": [{"id": "a", "secret": {"file": "key"}}],
                "issuer": "https://acme.example", "subject": "hookline",
            },
        )  # fmt: skip
        log = str(lab.write_events("events", (xdm_event(n, n) for n in range(50))))
        assert 50 == lab.relay(receiver, "--workers", "2", log)["delivered"]
        assert {"crm"} == {one["headers"]["x-team"] for one in receiver.records()}
        assert all(one["headers"]["authorization"].startswith("Bearer ey") for one in receiver.records())


def relay_log(lab: Lab) -> str:
    return (lab.directory / "relay.log").read_text()
