"""The relay reads topics of Kafka, on the mock cluster of librdkafka (kafka_cluster.py)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from builders import xdm_event
from hookline_process import Lab, Receiver
from kafka_cluster import KafkaCluster, kafka_cluster
from waiting import wait_until


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with kafka_cluster() as running:
        yield running


def event(number: int, message: int | None = None) -> bytes:
    return json.dumps(xdm_event(number, number if message is None else message)).encode()


def stored_places(lab: Lab) -> list[tuple[str, int]]:
    """The source and line of every delivery in the spool, also of records."""
    with closing(sqlite3.connect(lab.directory / ".hookline" / "spool" / "spool.db")) as spool:
        return spool.execute("SELECT source, line FROM delivery ORDER BY source, line").fetchall()


def positions(lab: Lab) -> dict[str, int]:
    with closing(sqlite3.connect(lab.directory / ".hookline" / "spool" / "spool.db")) as spool:
        return dict(spool.execute("SELECT name, offset FROM position"))


def delivered_numbers(receiver: Receiver) -> list[int]:
    return [
        int(one["body"]["requestId"].removeprefix("request-")) for one in receiver.records() if one["status"] < 300
    ]


@pytest.mark.starts_first(12)
def test_a_killed_relay_loses_nothing(lab: Lab, cluster: KafkaCluster) -> None:
    """Three partitions; kill -9 in the middle. Each event is once in the spool, and the order of messages holds."""
    cluster.create("feedback", 3)
    events = 2_000
    for partition in range(3):
        own = range(partition, events, 3)
        cluster.produce("feedback", partition, *(event(number, number // 6 * 3 + partition) for number in own))
    address = cluster.address("feedback")
    log = lab.directory / "relay.log"
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        arguments = lab.relay_arguments(receiver, "--follow", "--spool-max", "200", address)
        with lab.running(*arguments) as relay:
            wait_until(lambda: len(receiver.records()) > 500, process=relay, detail=log.read_text)
        assert 0 < len(stored_places(lab)) < events
        summary = lab.relay(receiver, address)
        assert 0 == summary["duplicates"] == summary["pending"] == summary["dead"] == summary["rejected"]
        numbers = delivered_numbers(receiver)
    assert set(range(events)) == set(numbers)
    places = [(f"kafka://127.0.0.1/feedback/{number % 3}", number // 3) for number in range(events)]
    assert sorted(places) == stored_places(lab)
    first = list(dict.fromkeys(numbers))
    by_message: dict[int, list[int]] = {}
    for number in first:
        by_message.setdefault(number // 6 * 3 + number % 3, []).append(number)
    assert all(found == sorted(found) for found in by_message.values())
    ends = {f"kafka://127.0.0.1/feedback/{n}?group=hookline": len(range(n, events, 3)) for n in range(3)}
    assert ends == positions(lab)
    assert {n: len(range(n, events, 3)) for n in range(3)} == cluster.committed("feedback")


def test_the_group_shows_what_a_reader_stored_before_it_ended(lab: Lab, cluster: KafkaCluster) -> None:
    """A reader can end between its transaction and the commit upstream. The next one commits, and reads nothing."""
    cluster.create("feedback", 1)
    cluster.produce("feedback", 0, *map(event, range(20)))
    address = cluster.address("feedback")
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        assert 20 == lab.relay(receiver, address)["delivered"]
        cluster.commit("feedback", 0, 7)
        assert {0: 7} == cluster.committed("feedback")
        assert 0 == lab.relay(receiver, address)["read"]
    assert {0: 20} == cluster.committed("feedback")


def test_poison_messages_are_rejected_with_their_place(lab: Lab, cluster: KafkaCluster) -> None:
    """Their place is topic, partition and offset. A message without a value is a line without an event."""
    cluster.create("feedback", 2)
    too_long = b'{"x":"' + b"y" * 1_100_000 + b'"}'
    cluster.produce("feedback", 1, event(1), b"not an event", None, b"\xff\xfe", too_long, event(2))
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        summary = lab.relay(receiver, cluster.address("feedback"), code=3)
        assert (6, 2, 3) == (summary["read"], summary["delivered"], summary["rejected"])
        assert 1 == sum(summary["skipped"].values())
    letters = {(one["source"], one["line"]): one for one in lab.dead()}
    assert {("kafka://127.0.0.1/feedback/1", offset) for offset in (1, 3, 4)} == set(letters)
    assert len(too_long) == letters["kafka://127.0.0.1/feedback/1", 4]["bytes"]


def test_a_dry_run_moves_nothing(lab: Lab, cluster: KafkaCluster) -> None:
    """It shows the routing result of each message that the next run reads, and joins no group."""
    cluster.create("feedback", 1)
    cluster.produce("feedback", 0, event(1), b"broken", event(2))
    address = cluster.address("feedback")
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        for _ in range(2):
            done = lab.hookline(*lab.relay_arguments(receiver, "--dry-run", address), code=3)
            places = [line.split(b": ")[0] for line in done.stdout.splitlines()]
            assert [b"kafka://127.0.0.1/feedback/0:%d" % offset for offset in range(3)] == places
        assert not cluster.committed("feedback")
        assert 2 == lab.relay(receiver, address, code=3)["delivered"]
        assert b"" == lab.hookline(*lab.relay_arguments(receiver, "--dry-run", address)).stdout


def test_messages_that_arrive_are_delivered_until_the_relay_is_stopped(lab: Lab, cluster: KafkaCluster) -> None:
    """With --follow. All brokers are away for a while: that is logged once, and ends nothing."""
    cluster.create("feedback", 1)
    log = lab.directory / "relay.log"
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        cluster.set_up(False)
        with lab.running(*lab.relay_arguments(receiver, "--follow", cluster.address("feedback"))) as relay:
            wait_until(lambda: "cannot be reached" in log.read_text(), process=relay)
            cluster.set_up(True)
            cluster.produce("feedback", 0, event(1))
            wait_until(lambda: [1] == delivered_numbers(receiver), process=relay, detail=log.read_text)
            cluster.set_up(False)
            wait_until(lambda: 2 == log.read_text().count("cannot be reached"), process=relay)
            cluster.set_up(True)
            wait_until(lambda: 2 == log.read_text().count("can be reached again"), process=relay)
            cluster.produce("feedback", 0, event(2))
            wait_until(lambda: [1, 2] == delivered_numbers(receiver), process=relay, detail=log.read_text)
            status = json.loads(lab.hookline("status", "--format", "json", code=None).stdout)
            (source,) = status["sources"]
            assert ("kafka://127.0.0.1/feedback/0?group=hookline", 2) == (source["name"], source["offset"])
            assert 0 == source["reading"]["behindMessages"]
            relay.terminate()
            assert 0 == relay.wait(timeout=120)
    assert 2 == log.read_text().count("cannot be reached")


def test_a_run_with_an_end_reports_a_missing_topic(lab: Lab, cluster: KafkaCluster) -> None:
    """The error of the source's thread ends the relay."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        done = lab.hookline(*lab.relay_arguments(receiver, cluster.address("missing")), code=1)
    assert b"kafka://127.0.0.1/missing: the topic does not exist" in done.stderr


def test_credentials_come_from_a_secret(lab: Lab, cluster: KafkaCluster) -> None:
    """The relay sends them to a broker that asks for none, which is an error. Nothing shows them."""
    (lab.secrets / "kafka").write_text("hookline:s3cret\n")
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        options = ("--log-level", "debug", "--source-credentials")
        address = cluster.address("feedback", more="&mechanism=plain")
        done = lab.hookline(*lab.relay_arguments(receiver, *options, "file:kafka", address), code=1)
        assert b"Kafka cannot be reached" in done.stderr
        assert b"SASL" in done.stderr
        assert b"s3cret" not in done.stderr
        (lab.secrets / "kafka").write_text("s3cret")
        done = lab.hookline(*lab.relay_arguments(receiver, *options, "file:kafka", address), code=1)
        assert b"user:password" in done.stderr
        assert b"s3cret" not in done.stderr
