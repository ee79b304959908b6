"""Several processes that store groups in one shared spool at the same time, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
import pytest

from builders import ACME, delivery, ingest_batch, settlement
from contract.spool_stores import DAY, balanced, bodies, fresh, intake, put
from hookline.errors import MessagesKnown, PositionMoved
from hookline.model import Address
from hookline.relay.delivery_record import Delivery
from hookline.relay.sources.source import Messages, Position
from hookline.relay.spool.postgres.relay_ports.delivery_writer import DeliveryWriter
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.relay_ports.settlement_writer import result_steps
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.slots import slot_of
from hookline.relay.spool.postgres.spool_connection import Step
from hookline.relay.spool.spool_values import DequeueRequest

Join = Callable[[], PostgresSpool]
ELSEWHERE = next(one for n in range(99) if slot_of(one := Address("acme", f"s{n}"), 64) != slot_of(ACME, 64))


@contextmanager
def held(store: SharedStore, *steps: Step) -> Iterator[None]:
    """A process that has run statements and not committed them yet."""
    connection = store.connection()
    with connection.transaction() as opened:
        for statement, values in steps:
            opened.execute(connection.sql(statement), values)
        yield
    connection.close()


def storing(spool: PostgresSpool, *deliveries: Delivery) -> list[Step]:
    """The statements that store deliveries."""
    webhooks = {one.address: spool._webhooks.known_or_added(one.address) for one in deliveries}
    writer = DeliveryWriter(ingest_batch(*deliveries), webhooks, 1.0)
    return [writer.lock_step(), writer.store_step(DAY), writer.count_step()]


def test_no_lane_misses_a_delivery_that_is_committed_late(
    store: SharedStore, join: Join, owner: PostgresSpool
) -> None:
    """A reader stores a delivery and waits. A second reader of the slot waits for it, one of another slot does not.
    The lane finds both deliveries of its slot after its place, in the order of their numbers."""
    second, third = join(), join()
    put(owner, delivery("first"))
    [(first, cursor)] = owner.dequeue_new([DequeueRequest(ACME, 0, 10, True)])
    with ThreadPoolExecutor() as pool:
        with held(store, *storing(owner, delivery("late"))):
            waiting = pool.submit(put, second, delivery("later"))
            put(third, delivery("elsewhere", address=ELSEWHERE))
            owner.arrivals()
            assert [b"elsewhere"] == bodies(fresh(owner, ELSEWHERE))
            [(none, same)] = owner.dequeue_new([DequeueRequest(ACME, cursor, 10, True)])
            assert ([], cursor, False) == (none, same, waiting.done())
        waiting.result()
    [(rest, _)] = owner.dequeue_new([DequeueRequest(ACME, cursor, 10, True)])
    assert [b"first", b"late", b"later"] == bodies([*first, *rest])
    assert balanced(owner.tally())


def test_a_delivery_that_two_readers_store_at_once_is_stored_once(join: Join, owner: PostgresSpool) -> None:
    """The same deliveries in other orders and groups, from three processes; then again after their results."""
    processes = [owner, join(), join()]
    names = [f"e{n}" for n in range(60)]
    together = threading.Barrier(len(processes))

    def read(number: int) -> None:
        together.wait()
        for start in range(0, len(names), 12):
            group = names[start : start + 12][:: 1 if number else -1]
            put(processes[number], *(delivery(name) for name in group))

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(3)))
    items = fresh(owner)
    assert sorted(names) == sorted(one.decode() for one in bodies(items))
    assert len(names) == len({item.seq for item in items}) == len({item.id for item in items})
    owner.settle([settlement(item) for item in items[::2]], now=1.0)
    put(processes[1], *(delivery(name) for name in names), now=2.0)
    tally = owner.tally()
    assert (240, 180, 30, 30) == tuple(tally[name] for name in ("read", "duplicates", "delivered", "pending"))
    assert balanced(tally)


def test_a_delivery_whose_result_is_being_recorded_is_known(store: SharedStore, owner: PostgresSpool) -> None:
    """Before and after the commit that moves it from the deliveries to the records, also for a group that began
    before."""
    put(owner, delivery("a"))
    values, fence = owner._fence({slot_of(ACME, 64)})
    with held(store, fence, *result_steps([settlement(fresh(owner)[0])], values, 1.0)):
        put(owner, delivery("a"), now=2.0)
        assert 1 == owner.tally()["duplicates"]
    put(owner, delivery("a"), now=2.0)
    assert (2, 0) == (owner.tally()["duplicates"], owner.tally()["pending"])


def test_texts_with_a_nul_character_are_stored(owner: PostgresSpool) -> None:
    """PostgreSQL has no such texts. An event must not stop the reader for that."""
    odd = delivery("a", request_id="x\0y", detail="\0", execution_id="\0", status="s\0")
    owner.enqueue(ingest_batch(odd, source="na\0me"), now=1.0, dedupe_window=DAY)
    assert ["x\ufffdy"] == [item.request_id for item in fresh(owner)]


def file_at(offset: int) -> Position:
    return Position(name="events", key=b"A", device=1, inode=2, offset=offset, line=offset)


def test_a_reader_that_was_replaced_stores_nothing(join: Join, owner: PostgresSpool) -> None:
    """The position of a file belongs to the reader of its name. After another process has become that reader, a
    batch of the first one is refused as a whole."""
    first, second = owner, join()
    first.reader = second.reader = "web"
    assert first.leases.take_reader("web")
    batch = ingest_batch(delivery("a"), position=file_at(7))
    first.enqueue(batch, now=1.0, dedupe_window=DAY)
    epoch = first.leases.reader_epoch
    assert epoch is not None
    first.leases.leave()
    assert second.leases.take_reader("web")
    before = second.tally()
    late = ingest_batch(delivery("b"), position=file_at(9), skipped={"x": 1})
    for refused in (late, msgspec.structs.replace(late, epoch=epoch, position=None)):
        with pytest.raises(PositionMoved):
            first.enqueue(refused, now=1.0, dedupe_window=DAY)
    assert (before, [7]) == (second.tally(), [one.offset for one in second.positions()])
    second.enqueue(late, now=1.0, dedupe_window=DAY)
    assert [9] == [one.offset for one in second.positions()]


def test_readers_with_other_names_have_their_own_positions(join: Join, owner: PostgresSpool) -> None:
    """The same path on two machines is two files. The position of a log belongs to all."""
    other = join()
    for spool, name, offset in ((owner, "web", 3), (other, "shop", 5)):
        spool.reader = name
        assert spool.leases.take_reader(name)
        spool.enqueue(ingest_batch(position=file_at(offset)), now=1.0, dedupe_window=DAY)
    log = Position(name="kafka://host/topic/0", key=b"log", offset=4, follows=0)
    other.enqueue(ingest_batch(position=log), now=2.0, dedupe_window=DAY)
    assert [[3, 4], [5, 4]] == [[one.offset for one in spool.positions()] for spool in (owner, other)]


def test_a_message_that_two_processes_store_at_once_is_stored_once(owner: PostgresSpool, join: Join) -> None:
    """A stream delivers a message to a second consumer before the first has committed it."""
    processes, together = [owner, join()], threading.Barrier(2)

    def read(number: int) -> frozenset[int]:
        batch = ingest_batch(delivery(f"a{number}"), messages=Messages(b"s" * 16, [1, 2, 3]))
        together.wait()
        try:
            processes[number].enqueue(batch, now=1.0, dedupe_window=DAY)
        except MessagesKnown as refused:
            return refused.numbers
        return frozenset()

    with ThreadPoolExecutor() as pool:
        assert {frozenset(), frozenset({1, 2, 3})} == set(pool.map(read, range(2)))
    assert 1 == owner.tally()["read"]


def test_an_answer_from_memory_leaves_out_what_another_process_has_stored(join: Join, owner: PostgresSpool) -> None:
    """The lane has not taken the other one's delivery, so its request is not answered; after that it is."""
    put(join(), delivery("theirs", order_key=1))
    batch = intake(delivery("ours", order_key=1), delivery("more"))
    enqueued = owner.enqueue(batch, now=1.0, dedupe_window=DAY, requests=[DequeueRequest(ACME, 0, 10, True)])
    assert () == tuple(enqueued.answers)
    [(items, cursor)] = owner.dequeue_new([DequeueRequest(ACME, 0, 10, True)])
    assert [b"theirs", b"more"] == bodies(items)
    later = [delivery("later", order_key=1), delivery("last", order_key=2)]
    enqueued = owner.enqueue(
        ingest_batch(*later), now=1.0, dedupe_window=DAY, requests=[DequeueRequest(ACME, cursor, 10, True)]
    )
    assert [[b"last"]] == [bodies(answer.items) for answer in enqueued.answers]
