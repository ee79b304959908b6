"""Relays of one group on a shared spool, in processes of their own, while they are suspended and killed."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter

import pytest

from builders import xdm_event
from hookline.relay.spool.factory import spool_store
from hookline_process import Lab
from kafka_cluster import kafka_cluster
from postgres_server import shared_server
from waiting import wait_until

PARTITIONS = 4
SPOOL_MAX = 400  # fewer than are produced at once, so that the relays hold lines that they cannot store yet
# The group misses a suspended or killed member after 3 s instead of 10 s.
QUICK_GROUP = """
from hookline.relay.sources.kafka import kafka_settings
kafka_settings.SESSION_SECONDS, kafka_settings.HEARTBEAT_SECONDS = 3, 1
"""
ASSIGNED = "partitions assigned"


@pytest.mark.starts_first(30)
def test_relays_are_suspended_and_killed_while_they_share_a_topic(lab: Lab) -> None:
    """One relay is suspended until the group has given its partitions to another one, and wakes up with lines that
    the other one has stored. Later one is killed. No event is lost, and each is once in the spool."""
    server = shared_server()
    location = server.url(server.new_database())
    store = spool_store(location)
    store.create(lease_seconds=3.0)
    lab.before = QUICK_GROUP
    with kafka_cluster() as cluster, lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        cluster.create("feedback", PARTITIONS)
        address = cluster.address("feedback")
        options = ("--log-level", "info", "--spool", location, "--spool-max", str(SPOOL_MAX), "--follow")
        arguments = lab.relay_arguments(receiver, *options, address)
        log = (lab.directory / "relay.log").read_text

        def produce(begin: int, end: int) -> None:
            for partition in range(PARTITIONS):
                numbers = range(begin + partition, end, PARTITIONS)
                events = (json.dumps(xdm_event(number, number)).encode() for number in numbers)
                cluster.produce("feedback", partition, *events)

        def tally() -> dict[str, int]:
            return dict(store.statistics().spool_status(now=time.time()).tally)

        def wait_for_read(number: int) -> None:
            wait_until(lambda: tally().get("read", 0) >= number, detail=lambda: f"{tally()} {log()}")

        produce(0, 400)
        with lab.running(*arguments) as first, lab.running(*arguments) as second:
            wait_until(lambda: log().count(ASSIGNED) >= 2, process=first, detail=log)
            produce(400, 800)
            wait_for_read(440)
            first.send_signal(signal.SIGSTOP)
            assigned = log().count(ASSIGNED)
            wait_until(lambda: log().count(ASSIGNED) > assigned, process=second, detail=log)
            produce(800, 880)
            wait_for_read(880)
            first.send_signal(signal.SIGCONT)
            produce(880, 1200)
            wait_for_read(960)
            second.kill()
            with lab.running(*arguments) as third:
                produce(1200, 1600)
                wait_for_read(1600)
                wait_until(lambda: not tally()["pending"], process=third, detail=log)
                for relay in (first, third):
                    relay.terminate()
                    assert 0 == relay.wait(timeout=120)
        assert (1600, 1600, 0) == tuple(tally().get(name, 0) for name in ("read", "delivered", "duplicates"))
        numbers = Counter(int(one["body"]["requestId"].removeprefix("request-")) for one in receiver.records())
        assert set(range(1600)) == set(numbers)
