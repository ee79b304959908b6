"""The relay on a NATS stream: it is killed, the server is killed, the spool is full. Nothing is lost, and what is
delivered again is counted."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from contextlib import closing
from typing import Any

import pytest

from builders import xdm_event
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline_process import ADDRESS, Lab, Receiver
from nats_server import NatsServer, running_nats, shared_nats
from shared_spool import SharedSpoolDatabase
from tcp_proxy import tcp_proxy
from waiting import wait_until

SECOND = 10**9
# With the shortest time after which the server delivers a message again.
CONSUMER: dict[str, Any] = {"ack_policy": "explicit", "ack_wait": 5 * SECOND, "max_ack_pending": 20_000}


def event(number: int, status: str = "sent") -> bytes:
    return json.dumps(xdm_event(number, number, status)).encode()


def mixed(count: int) -> list[bytes]:
    """Of ten messages one is skipped by rule, and one cannot be read."""
    kinds = {3: lambda n: event(n, "delay"), 7: lambda n: b"broken %d" % n}
    return [kinds.get(number % 10, event)(number) for number in range(count)]


def apply(lab: Lab, receiver: Receiver) -> None:
    lab.apply(f"https://localhost:{receiver.port}/feedback")


def requests(receiver: Receiver) -> list[int]:
    """The numbers of the events that were accepted."""
    return [int(one["body"]["requestId"].removeprefix("request-")) for one in receiver.records()]


def tally(lab: Lab) -> dict[str, int]:
    with closing(SqliteSpool(lab.directory / ".hookline" / "spool", since="the test")) as spool:
        return spool.tally()


def end(relay: subprocess.Popen[bytes]) -> int:
    relay.send_signal(signal.SIGTERM)
    return relay.wait(timeout=120)


def test_a_relay_that_is_killed_loses_nothing(lab: Lab) -> None:
    """Its acknowledgements do not arrive, it is killed, and the messages come again. Each of those that it had stored
    counts as one duplicate: also the skipped and the rejected ones."""
    server, count = shared_nats(), 2000
    server.add_stream("killed")
    server.add_consumer("killed", "hookline", **CONSUMER)
    with lab.receiver() as receiver, tcp_proxy(server.port) as proxy:
        apply(lab, receiver)
        through_proxy = f"nats://127.0.0.1:{proxy.port}/killed?durable=hookline"
        with lab.running(*lab.relay_arguments(receiver, "--follow", through_proxy)) as relay:
            wait_until(lambda: server.consumer("killed")["num_waiting"], process=relay)
            proxy.deaf = True
            server.publish("killed", mixed(count))
            wait_until(lambda: len(requests(receiver)) > 200, process=relay)
            relay.kill()
            relay.wait()
        proxy.deaf = False
        before = tally(lab)
        stored = before["read"] - before.get("duplicates", 0)  # a slow relay gets messages again before the kill
        assert 0 == server.consumer("killed")["ack_floor"]["stream_seq"]
        summary = lab.relay(receiver, server.address("killed"), code=3)
        assert (count, stored) == (summary["read"], summary["duplicates"])
        whole = tally(lab)
        assert (1600, 200, 200) == (
            whole["delivered"], whole["skipped:status_not_relayed:delay"], whole["rejected"],
        )  # fmt: skip
        assert {number for number in range(count) if number % 10 not in (3, 7)} == set(requests(receiver))
    state = server.consumer("killed")
    assert (0, 0, count) == (state["num_pending"], state["num_ack_pending"], state["ack_floor"]["stream_seq"])


def test_messages_that_cannot_be_read_are_rejected_lines(lab: Lab) -> None:
    """They are acknowledged and block nothing. Their place is the stream, and their number in it."""
    server = shared_nats()
    server.add_stream("poison")
    good, line = event(1), b"\n".join([event(2), event(3), b"{broken"])
    server.publish(
        "poison", [b"broken", b"", b"\xff\xfe\x00", good, line, b"[" * 900_000, b"x" * 1_000_000, event(4)]
    )
    with lab.receiver() as receiver:
        apply(lab, receiver)
        summary = lab.relay(receiver, server.address("poison"), code=3)
        assert (4, 0) == (summary["delivered"], summary["pending"])
        assert {1, 2, 3, 4} == set(requests(receiver))
    rejected = {(one["source"], one["line"]) for one in lab.dead()}
    name = f"nats://127.0.0.1:{server.port}/poison"
    assert {(name, 1), (name, 3), (name, 5)} <= rejected
    assert 0 == server.consumer("poison")["num_ack_pending"]
    assert 8 == server.consumer("poison")["ack_floor"]["stream_seq"]
    trace = lab.hookline("trace", "request-3").stdout.decode()
    assert f"{name}:5" in trace


def test_two_relays_share_a_stream(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each has its own spool. Together they deliver each event once."""
    server, other = shared_nats(), Lab(tmp_path_factory.mktemp("other"))
    server.add_stream("two")
    with lab.receiver() as receiver:
        for one in (lab, other):
            apply(one, receiver)
        arguments = lab.relay_arguments(receiver, "--follow", server.address("two"))
        with lab.running(*arguments) as first, other.running(*arguments) as second:
            wait_until(lambda: server.consumer("two").get("num_waiting") == 2, process=first)
            server.publish("two", [event(number) for number in range(3000)])
            wait_until(lambda: len(requests(receiver)) >= 3000, process=second)
            wait_until(lambda: server.consumer("two")["ack_floor"]["stream_seq"] == 3000, process=second)
            assert [0, 0] == [end(first), end(second)]
        assert [*range(3000)] == sorted(requests(receiver))
    shares = [tally(one)["read"] for one in (lab, other)]
    assert 3000 == sum(shares)
    assert all(shares)


@pytest.mark.starts_first(16)
def test_a_full_spool_holds_the_stream_back(lab: Lab) -> None:
    """The messages remain in the stream. Those that the relay has already are not delivered again."""
    server = shared_nats()
    server.add_stream("full-spool")
    server.add_consumer("full-spool", "hookline", **CONSUMER | {"ack_wait": 10 * SECOND})
    server.publish("full-spool", [event(number) for number in range(5000)])
    with lab.receiver() as receiver:
        apply(lab, receiver)
        lab.hookline("pause", ADDRESS)
        arguments = lab.relay_arguments(receiver, "--follow", "--spool-max", "700", server.address("full-spool"))
        with lab.running(*arguments) as relay:
            wait_until(lambda: server.consumer("full-spool")["ack_floor"]["stream_seq"] >= 700, process=relay)
            time.sleep(12.0)  # longer than the time after which a message is delivered again
            state = server.consumer("full-spool")
            assert 0 == state["num_redelivered"]
            assert state["num_pending"] >= 500
            (source,) = json.loads(lab.hookline("status", "--format", "json").stdout)["sources"]
            assert state["num_pending"] == source["reading"]["behindMessages"]
            assert source["reading"]["behindSeconds"] > 0
            lab.hookline("resume", ADDRESS)
            wait_until(lambda: server.consumer("full-spool")["ack_floor"]["stream_seq"] == 5000, process=relay)
            wait_until(lambda: len(requests(receiver)) == 5000, process=relay)
            assert 0 == end(relay)
        assert [*range(5000)] == sorted(requests(receiver))
    assert 5000 == server.consumer("full-spool")["delivered"]["consumer_seq"]
    assert 0 == tally(lab).get("duplicates", 0)


def test_the_server_restarts_during_the_run(lab: Lab) -> None:
    """A finite run continues where it was, and loses nothing."""
    with running_nats() as server, lab.receiver() as receiver:
        server.add_stream("restarts")
        server.add_consumer("restarts", "hookline", **CONSUMER)
        server.publish("restarts", [event(number) for number in range(2000)])
        apply(lab, receiver)
        with lab.running(*lab.relay_arguments(receiver, "--summary", "json", server.address("restarts"))) as relay:
            wait_until(lambda: len(requests(receiver)) > 300, process=relay)
            server.kill()
            time.sleep(1.0)
            server.start()
            output, _ = relay.communicate(timeout=120)
        assert 0 == relay.returncode
        summary = json.loads(output)
        assert (2000, 0) == (summary["delivered"], summary["pending"])
        assert set(range(2000)) == set(requests(receiver))
        # A server that is killed can lose acknowledgements. It delivers these messages again, and they are known.
        with lab.running(*lab.relay_arguments(receiver, "--follow", server.address("restarts"))) as relay:
            wait_until(lambda: server.consumer("restarts")["ack_floor"]["stream_seq"] == 2000, process=relay)
            end(relay)
        assert set(range(2000)) == set(requests(receiver))
        assert 2000 == tally(lab)["delivered"]


def test_a_dry_run_changes_nothing(lab: Lab) -> None:
    """It shows the result of each event with its place, and the run after it reads the same messages."""
    server = shared_nats()
    server.add_stream("dry")
    server.publish("dry", mixed(20))
    with lab.receiver() as receiver:
        apply(lab, receiver)
        arguments = lab.relay_arguments(receiver, "--dry-run", server.address("dry"))
        shown = lab.hookline(*arguments, code=3).stdout.decode().splitlines()
        place = f"nats://127.0.0.1:{server.port}/dry"
        assert [f"{place}:{number}:" for number in range(1, 21)] == [line.split(" ")[0] for line in shown]
        assert {"deliver": 16, "skip": 2, "reject": 2} == {
            what: sum(line.split(" ")[1] == what for line in shown) for what in ("deliver", "skip", "reject")
        }
        assert "error" in server.consumer("dry")
        assert 20 == lab.relay(receiver, server.address("dry"), code=3)["read"]
        assert [] == lab.hookline(*arguments, code=None).stdout.decode().splitlines()


def test_the_credentials_are_a_reference(lab: Lab) -> None:
    """Of a variable, or of a file below --secrets-dir. No output shows the value."""
    with running_nats("authorization { user: relay, password: s3cret }") as server, lab.receiver() as receiver:
        server.user = {"user": "relay", "password": "s3cret"}
        server.add_stream("user")
        server.publish("user", [event(1)])
        apply(lab, receiver)
        lab.environment["HOOKLINE_SECRET_NATS"] = "relay:s3cret"
        (lab.secrets / "nats").write_text("relay:wr0ng")
        (lab.secrets / "nats").chmod(0o400)
        address = server.address("user")
        for reference, code in (("env:HOOKLINE_SECRET_NATS", 0), ("file:nats", 1), ("s3cret", 64)):
            arguments = lab.relay_arguments(receiver, "--source-credentials", reference, address)
            done = lab.hookline(*arguments, code=code)
            assert b"s3cret" not in done.stderr + done.stdout
            assert b"wr0ng" not in done.stderr + done.stdout
        assert [1] == requests(receiver)


@pytest.mark.soak
def test_relays_and_the_server_are_killed_at_random(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two relays and the server are killed with SIGKILL. No event is lost. Each spool accounts for its messages."""
    seed = random.randrange(2**32)
    rng, count, other = random.Random(seed), 20_000, Lab(tmp_path_factory.mktemp("other"))
    with running_nats() as server, lab.receiver() as receiver:
        server.add_stream("kills")
        server.add_consumer("kills", "hookline", **CONSUMER)
        for one in (lab, other):
            apply(one, receiver)
        server.publish("kills", mixed(count))
        arguments = lab.relay_arguments(receiver, "--follow", server.address("kills"))
        for _ in range(12):
            with lab.running(*arguments), other.running(*arguments):
                time.sleep(rng.uniform(0.3, 4.0))
                if rng.random() < 0.4:
                    kill_and_start(server, rng)
        for one in (lab, other):
            one.relay(receiver, server.address("kills"), code=None)
        expected = {number for number in range(count) if number % 10 not in (3, 7)}
        assert expected == set(requests(receiver)), seed
        whole = [tally(one) for one in (lab, other)]
    assert count // 10 <= sum(one.get("rejected", 0) for one in whole), seed
    for counts in whole:
        results = [n for name, n in counts.items() if name.startswith(("delivered", "skipped", "rejected", "dup"))]
        assert counts["read"] == sum(results), seed


def kill_and_start(server: NatsServer, rng: random.Random) -> None:
    server.kill()
    time.sleep(rng.uniform(0.1, 2.0))
    server.start()


def test_two_relays_share_a_stream_and_a_spool(lab: Lab) -> None:
    """One is killed while both read: its acknowledgements are lost, and the other one gets its messages. Each event
    is in the spool once, and is sent again only if the outcome was not recorded."""
    server, count, database = shared_nats(), 1000, SharedSpoolDatabase(lease_seconds=2.0)
    server.add_stream("shared-spool")
    server.add_consumer("shared-spool", "hookline", **CONSUMER)
    with lab.receiver() as receiver, tcp_proxy(server.port) as proxy:
        apply(lab, receiver)
        where = ("--follow", "--spool", database.url())
        through_proxy = f"nats://127.0.0.1:{proxy.port}/shared-spool?durable=hookline"
        with (
            lab.running(*lab.relay_arguments(receiver, *where, through_proxy)) as killed,
            lab.running(*lab.relay_arguments(receiver, *where, server.address("shared-spool"))) as other,
        ):
            wait_until(lambda: server.consumer("shared-spool")["num_waiting"] == 2, process=other)
            proxy.deaf = True  # no acknowledgement of the first one arrives
            server.publish("shared-spool", [event(number) for number in range(count)])
            wait_until(lambda: len(requests(receiver)) > 300, process=killed)
            killed.kill()
            killed.wait()
            wait_until(
                lambda: server.consumer("shared-spool")["ack_floor"]["stream_seq"] == count, process=other,
                detail=lambda: server.consumer("shared-spool"),
            )  # fmt: skip
            wait_until(lambda: len(set(requests(receiver))) == count, process=other)
            assert 0 == end(other)
    whole = database.store.statistics().spool_status(now=time.time()).tally
    assert (count, 0) == (whole["delivered"], whole["pending"])
    assert count == whole["read"] - whole.get("duplicates", 0)
    assert [(1,)] == database.execute("SELECT max(c) FROM (SELECT count(*) AS c FROM spool.record GROUP BY id) AS r")
