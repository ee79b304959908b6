"""The source of a NATS stream, with real servers that crash, come back and deliver again."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources.line_splitter import KEPT_LINE_BYTES, MAX_LINE_BYTES
from hookline.relay.sources.nats import nats_source
from hookline.relay.sources.source import MAX_BYTES_PER_BATCH, MAX_LINES_PER_BATCH, Position
from nats_reader import nats_reader
from nats_server import NatsServer, running_cluster, running_nats, shared_nats
from waiting import wait_until


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b'{"number": %d}' % number for number in range(start, start + count)]


def test_a_finite_run_ends_when_all_messages_are_acknowledged() -> None:
    """Each message is one line with its number. The position is the floor of the acknowledgements."""
    server = shared_nats()
    server.add_stream("finite")
    server.publish("finite", numbered(1200))
    with nats_reader(server, "finite") as reader:
        lines = reader.read_to_end()
        assert [*range(1, 1201)] == [line.number for line in lines]
        assert numbered(1200) == [line.data for line in lines]
        assert all(len(batch.lines) <= MAX_LINES_PER_BATCH for batch in reader.batches)
        assert ["consumer created"] == reader.log.texts()
        assert 1200 == max(batch.position.line for batch in reader.batches)
    state = server.consumer("finite")
    assert (0, 0, 1200) == (state["num_pending"], state["num_ack_pending"], state["ack_floor"]["stream_seq"])
    with nats_reader(server, "finite") as reader:
        assert [] == reader.read_to_end()


def test_messages_are_acknowledged_after_they_are_durable_only() -> None:
    """What was read but not stored is delivered to the next relay at once."""
    server = shared_nats()
    server.add_stream("durable")
    server.publish("durable", numbered(10))
    with nats_reader(server, "durable") as reader:
        assert 10 == len(reader.read(acknowledge=False))
        assert (10, 0) == (server.consumer("durable")["num_ack_pending"],
                           server.consumer("durable")["ack_floor"]["stream_seq"])  # fmt: skip
    with nats_reader(server, "durable") as reader:
        assert 10 == len(reader.read_to_end())


@pytest.mark.starts_first(13)
def test_a_message_that_waits_is_kept_and_not_delivered_again() -> None:
    """While the spool is full, the source tells the server that it still has the messages, and requests no more."""
    server = shared_nats()
    server.add_stream("full")
    server.publish("full", numbered(5000))
    server.add_consumer("full", "hookline", ack_policy="explicit", ack_wait=10 * 10**9, max_ack_pending=20000)
    with nats_reader(server, "full") as reader:
        lines = reader.read(acknowledge=False)
        time.sleep(12.0)  # longer than the time after which a message is delivered again
        state = server.consumer("full")
        assert 0 == state["num_redelivered"]
        assert state["num_ack_pending"] <= len(lines) + 2 * MAX_LINES_PER_BATCH
        reader.acknowledge(reader.batches[0])
        assert 5000 == len(lines) + len(reader.read_to_end())
    assert 5000 == server.consumer("full")["delivered"]["consumer_seq"]


def test_large_messages_are_read_within_the_limits() -> None:
    """A batch has about the bytes of one of a file. A message that is larger than a request allows is read too, and
    of one over the limit of a line the beginning is kept."""
    with running_nats("max_payload: 8388608") as server:
        server.add_stream("large")
        sizes = [900_000] * 12 + [MAX_BYTES_PER_BATCH + 1000, 10, 7_000_000, 900_000, MAX_LINE_BYTES + 1]
        server.publish("large", (b"x" * size for size in sizes))
        with nats_reader(server, "large") as reader:
            lines = reader.read_to_end()
            assert sizes == [line.length for line in lines]
            assert [KEPT_LINE_BYTES if size > MAX_LINE_BYTES else size for size in sizes] == [
                len(line.data) for line in lines
            ]
            largest = max(sum(line.length for line in batch.lines) for batch in reader.batches)
            assert largest <= MAX_BYTES_PER_BATCH + max(sizes)


def test_two_relays_share_the_work() -> None:
    """With the same name of the consumer, each message goes to one of them."""
    server = shared_nats()
    server.add_stream("shared")
    with nats_reader(server, "shared", follow=True) as one, nats_reader(server, "shared", follow=True) as two:
        wait_until(lambda: server.consumer("shared").get("num_waiting") == 2)
        server.publish("shared", numbered(3000))
        seen: list[int] = []
        while len(seen) < 3000:
            for reader in (one, two):
                seen += [line.number for line in reader.read()]
        assert [*range(1, 3001)] == sorted(seen)
        assert all(sum(len(batch.lines) for batch in reader.batches) > 0 for reader in (one, two))


def test_a_relay_that_follows_outlives_the_server() -> None:
    """Nothing is lost. A fault is logged once. A message that was stored is acknowledged in the new connection."""
    with running_nats() as server:
        server.add_stream("restart")
        server.publish("restart", numbered(100))
        with nats_reader(server, "restart", follow=True) as reader:
            seen = {line.number for line in reader.read(acknowledge=False)}
            server.kill()
            wait_until(lambda: "source is away, the relay tries again" in reader.log.texts())
            time.sleep(1.5)  # some attempts to connect, which are not logged
            reader.acknowledge(reader.batches[0])
            server.start()
            server.publish("restart", numbered(50, 100))
            while len(seen) < 150:
                seen |= {line.number for line in reader.read()}
            wait_until(lambda: server.consumer("restart")["ack_floor"]["stream_seq"] == 150)
            assert ["consumer created", "source is away, the relay tries again", "source is back"] == (
                reader.log.texts()
            )
            away = reader.log.lines[1][1]
            assert f"nats://127.0.0.1:{server.port}/restart" == away["source"]


def test_a_relay_that_follows_waits_for_the_server() -> None:
    """At its start too."""
    with running_nats() as server:
        server.add_stream("later")
        server.publish("later", numbered(3))
        server.kill()
        with nats_reader(server, "later", follow=True) as reader:
            assert [] == reader.read()
            server.start()
            lines: list[Line] = []
            while len(lines) < 3:
                lines += reader.read()


def test_a_source_ends_while_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also to a server that accepts connections and does not answer."""
    monkeypatch.setattr(nats_source, "END_SECONDS", 2.0)  # less than the wait for an answer
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        server = NatsServer(Path(), port=silent.getsockname()[1])
        with nats_reader(server, "silent", follow=True) as reader:
            assert [] == reader.read()
            reader.source.finish()
            assert [] == reader.read()
            assert reader.batches[-1].end
        assert "nats" not in {one.name for one in threading.enumerate()}


def test_a_finite_run_needs_the_server_at_its_start() -> None:
    """It fails with the next step, and does not wait."""
    with running_nats() as server:
        server.kill()
        with (
            nats_reader(server, "away") as reader,
            pytest.raises(HooklineError, match="the server is away") as failed,
        ):
            reader.read()
        assert failed.value.hint


@pytest.mark.starts_first(17)
def test_a_cluster_loses_a_server() -> None:
    """A stream with three copies. The server to which the relay is connected is killed; nothing is lost."""
    with running_cluster() as servers:
        servers[1].add_stream("cluster", num_replicas=3)
        # Messages on their way through the killed server come again after `ack_wait`.
        servers[1].add_consumer("cluster", "hookline", ack_policy="explicit", ack_wait=5 * 10**9)
        servers[1].publish("cluster", numbered(1000))
        with nats_reader(servers[0], "cluster", follow=True) as reader:
            seen = {line.number for line in reader.read()}
            servers[0].kill()
            servers[1].publish("cluster", numbered(1000, 1000))
            while len(seen) < 2000:
                seen |= {line.number for line in reader.read()}
        assert set(range(1, 2001)) == seen


def test_a_stream_that_is_created_again_has_other_messages() -> None:
    """Its numbers begin again. They are not those of the old stream."""
    server = shared_nats()
    server.add_stream("again")
    server.publish("again", numbered(5))
    with nats_reader(server, "again") as reader:
        reader.read_to_end()
        old = reader.batches[0].messages
        assert old is not None
    server.call("STREAM.DELETE.again")
    server.add_stream("again")
    server.publish("again", numbered(5))
    with nats_reader(server, "again", positions=(Position(name="nats://x/again", key=old.stream, line=5),)) as reader:
        assert [1, 2, 3, 4, 5] == [line.number for line in reader.read_to_end()]
        new = reader.batches[0].messages
    assert new is not None
    assert old.numbers == new.numbers
    assert old.stream != new.stream


def test_a_consumer_that_was_removed_begins_behind_the_acknowledged_messages() -> None:
    """The spool knows the floor. A relay that follows creates the consumer again."""
    server = shared_nats()
    server.add_stream("removed")
    server.publish("removed", numbered(5))
    with nats_reader(server, "removed", follow=True) as reader:
        while not any(batch.position.line == 5 for batch in reader.batches):
            reader.read()
        server.call("CONSUMER.DELETE.removed.hookline")
        server.publish("removed", numbered(2, 5))
        while sum(len(batch.lines) for batch in reader.batches) < 7:
            reader.read()
    position = next(batch.position for batch in reader.batches if batch.position.line == 5)
    server.call("CONSUMER.DELETE.removed.hookline")
    with nats_reader(server, "removed", positions=(position,)) as reader:
        assert [6, 7] == [line.number for line in reader.read_to_end()]


def test_a_work_queue() -> None:
    """Its acknowledged messages are gone. It accepts one consumer only, which must begin with the first message."""
    server = shared_nats()
    server.add_stream("queue", retention="workqueue")
    server.publish("queue", numbered(10))
    with nats_reader(server, "queue", preview=True) as reader, pytest.raises(HooklineError, match="a dry run cannot"):
        reader.read()
    with nats_reader(server, "queue") as reader:
        assert 10 == len(reader.read_to_end())
        messages = reader.batches[0].messages
        assert messages is not None
    server.call("CONSUMER.DELETE.queue.hookline")
    server.publish("queue", numbered(2))
    positions = (Position(name="nats://x/queue", key=messages.stream, line=10),)
    with nats_reader(server, "queue", positions=positions) as reader:
        assert [11, 12] == [line.number for line in reader.read_to_end()]


def test_a_finite_run_gives_up_when_the_server_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of a job does not wait without an end."""
    monkeypatch.setattr(nats_source, "AWAY_SECONDS", 1.0)
    with running_nats() as server:
        server.add_stream("gone")
        server.publish("gone", numbered(3))
        with nats_reader(server, "gone") as reader:
            assert 3 == len(reader.read(acknowledge=False))
            server.kill()
            with pytest.raises(HooklineError, match="the server is away") as failed:
                reader.read_to_end()
    assert "delivered again" in (failed.value.hint or "")


def test_a_preview_changes_nothing() -> None:
    """A dry run reads the messages that are not acknowledged, with the filter of the consumer, and moves nothing."""
    server = shared_nats()
    server.add_stream("preview")
    server.publish("preview", numbered(700))
    with nats_reader(server, "preview", preview=True) as reader:
        assert 700 == len(reader.read_to_end())
    assert 404 == server.consumer("preview")["error"]["code"]
    server.add_consumer("preview", "hookline", ack_policy="explicit", filter_subject="preview.x", max_ack_pending=-1)
    with nats_reader(server, "preview") as reader:
        first = reader.read()
    before = server.consumer("preview")
    for _ in range(2):
        with nats_reader(server, "preview", preview=True) as reader:
            assert 700 - len(first) == len(reader.read_to_end())
            assert {"nats"} == {batch.source[:4] for batch in reader.batches}
            assert all(batch.on_durable is None and batch.position.line == 0 for batch in reader.batches)
    after = server.consumer("preview")
    assert all(before[name] == after[name] for name in ("delivered", "ack_floor", "num_pending", "num_ack_pending"))
