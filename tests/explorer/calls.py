"""The calls that the threads of a process make: leases, and deliveries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from builders import ingest_batch
from explorer.invariants import violation_of_dequeue, violation_of_positions
from explorer.stepped_connection import stepping
from explorer.stepped_thread import SteppedThread
from explorer.world import READER, Process, World
from hookline.errors import PositionMoved, SpoolStalled
from hookline.relay.sources.source import Position
from hookline.relay.spool.spool_values import DequeueRequest, Settlement, State

Call = Callable[[SteppedThread], None]


def lease_thread(world: World, process: Process, *calls: Call) -> None:
    stepped = [stepping(process.lease_connection, call) for call in calls]
    process.threads.append(SteppedThread(f"{process.name} leases", stepped, world.clock))


def spool_thread(world: World, process: Process, *calls: Call) -> None:
    stepped = [stepping(process.spool_connection, call) for call in calls]
    process.threads.append(SteppedThread(f"{process.name} spool", stepped, world.clock))


def renew(process: Process) -> Call:
    def call(thread: SteppedThread) -> None:
        thread.pause("read the clock")
        process.leases.renew()

    return call


def rebalance(process: Process) -> Call:
    def call(_: SteppedThread) -> None:
        try:
            process.leases.rebalance()
        except SpoolStalled as stalled:
            if "is over" not in stalled.message:
                raise

    return call


def release(process: Process, slot: int) -> Call:
    return lambda _: process.leases.release([slot])


def settle(world: World, process: Process, slot: int, seq: int, state: State = State.DELIVERED) -> Call:
    """Write the result of a delivery, in the epoch in which the process owns its slot now."""

    def call(_: SteppedThread) -> None:
        result = Settlement(
            seq=seq, address=world.server.addresses[slot], order_key=None, state=state, attempts=1, tries=1,
            refusals=0, posts=1, due=1.0 if state is State.PENDING else None,
        )  # fmt: skip
        process.settling = process.leases.owned.get(slot)
        process.spool.settle([result], now=world.clock())

    return call


def deliver(world: World, process: Process, slot: int, state: State = State.DELIVERED) -> Call:
    """Once the process owns the slot: dequeue its deliveries, send each, and settle it."""

    def call(thread: SteppedThread) -> None:
        leases = process.leases
        thread.pause("look at the lease", lambda: leases.is_valid and slot in leases.owned)
        epoch = leases.owned[slot]
        request = DequeueRequest(world.server.addresses[slot], after=0, limit=10, ordered=False)
        [(items, _)] = process.spool.dequeue_new([request])
        if violation := violation_of_dequeue(world, process, [item.seq for item in items]):
            world.findings.append(violation)
        for item in items:
            thread.pause("begin a POST")
            if leases.is_valid and leases.owned.get(slot) == epoch:
                settle(world, process, slot, item.seq, state)(thread)

    return call


def take_reader(process: Process) -> Call:
    def call(_: SteppedThread) -> None:
        process.leases.take_reader(READER)

    return call


def read(world: World, process: Process) -> Call:
    """Once the process is the reader: look up the position, and store a batch of lines after it."""

    def call(thread: SteppedThread) -> None:
        leases = process.leases
        thread.pause("look at the lease", lambda: leases.is_valid and leases.reader_epoch is not None)
        [offset] = [position.offset for position in process.spool.positions()] or [0]
        if violation := violation_of_positions(world, process):
            world.findings.append(violation)
        store(process, offset + 10)(thread)

    return call


def store(process: Process, offset: int) -> Call:
    """Store a batch that ends at this offset, in the epoch in which the process is the reader now."""

    def call(_: SteppedThread) -> None:
        process.storing = process.leases.reader_epoch
        position = Position(name="log", line=1, offset=offset, device=1, inode=1, key=b"key")
        with suppress(PositionMoved):
            process.spool.enqueue(ingest_batch(position=position), now=0.0, dedupe_window=0.0)

    return call
