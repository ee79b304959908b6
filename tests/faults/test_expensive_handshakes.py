"""An endpoint that makes TLS handshakes expensive costs the other endpoints nothing."""

from __future__ import annotations

from collections import Counter

from faults.test_isolation import lines
from faulty_endpoint import Ledger, running
from hookline_process import LOOPBACK, Lab
from waiting import wait_until

EVENTS = 1_500
PATIENCE = 240  # seconds; it takes a few


def test_expensive_handshakes_beside_a_good_endpoint(lab: Lab) -> None:
    """Each handshake costs a hundred times more than usual, and 16 connections close after each answer. The good
    endpoint has all of its events before the other one has a few. That one gets its events too, and the relay stops
    in time."""
    with (
        running(lab.directory / "good") as good,
        running(lab.directory / "expensive", groups="ffdhe8192") as expensive,
    ):
        delivery = {"concurrency": 16, "timeout": "5m", "retry": {"initialDelay": "10ms", "maxDelay": "1s"}}
        lab.apply(f"https://localhost:{expensive.port}/as/accept-close", sandbox="expensive", delivery=delivery)
        lab.apply(f"https://localhost:{good.port}/feedback", sandbox="good", delivery=delivery)
        log = lab.directory / "events"
        log.write_bytes(lines("expensive", 0) + lines("good", EVENTS))
        authorities = lab.directory / "authorities.pem"
        authorities.write_bytes(good.ca_file.read_bytes() + expensive.ca_file.read_bytes())
        options = ("--ca-file", str(authorities), "--log-level", "warning", "--grace", "1s")
        accepted, ledgers = Counter[str](), {"good": Ledger(good.ledger), "expensive": Ledger(expensive.ledger)}
        with lab.running("relay", *LOOPBACK, *options, str(log)) as relay:

            def has(name: str, number: int) -> bool:
                for each, ledger in ledgers.items():
                    accepted[each] += sum(entry.accepted for entry in ledger.news())
                return accepted[name] >= number

            wait_until(lambda: has("good", EVENTS), within_seconds=PATIENCE, process=relay, detail=lambda: accepted)
            assert accepted["expensive"] < EVENTS // 10
            wait_until(lambda: has("expensive", 2), within_seconds=PATIENCE, process=relay, detail=lambda: accepted)
            relay.terminate()
            assert 4 == relay.wait(timeout=120)
