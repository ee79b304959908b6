"""The invariants of leases and settlements. They hold after each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from explorer.world import RUN_SECONDS, Process, World
from hookline.relay.spool.postgres.slot_leases import SlotLeases

# The statements that record results.
_WRITES = frozenset({"DELIVERED", "OTHER"})


def violation_after_step(world: World, before: Mapping[str, Any], action: str) -> str | None:
    """The first invariant that does not hold after a step, or None. `before` is the committed state before it."""
    if world.findings:
        return world.findings[0]
    return _of_settlements(world, before, action) or _of_batches(world, before, action) or _of_owners(world)


def _of_settlements(world: World, before: Mapping[str, Any], action: str) -> str | None:
    """Only the present owner of a slot changes its deliveries, and what is settled remains settled."""
    slots, deliveries = world.committed["slot"], world.committed["delivery"] or {}
    for seq, (slot, *values) in (before["delivery"] or {}).items():
        if deliveries.get(seq) == [slot, *values]:
            continue
        process = next(process for process in world.processes if action == f"{process.name} spool")
        if slots[str(slot)] != [process.settling, str(process.leases.token)]:
            return f"a settlement of {process.name} took effect after it had lost slot {slot}"
        if seq not in deliveries:
            world.settled.add(seq)
    if again := sorted(world.settled & deliveries.keys()):
        return f"delivery {again[0]} was settled, and is pending again"
    return None


def _of_batches(world: World, before: Mapping[str, Any], action: str) -> str | None:
    """Only the present reader moves the position, and never back."""
    old, new = before["position"] or [0], world.committed["position"] or [0]
    if old == new:
        return None
    process = next(process for process in world.processes if action == f"{process.name} spool")
    if world.committed["reader"] != [process.storing, str(process.leases.token)]:
        return f"a batch of {process.name} was stored after it had lost the reader's lease"
    return f"the position moved from {old} to {new}" if new < old else None


def _of_owners(world: World) -> str | None:
    """While its lease is valid by its own clock, a process owns what it believes to own. No slot has two."""
    for process in world.processes:
        for slot, epoch in process.leases.owned.items():
            present = world.committed["slot"][str(slot)]
            if process.leases.is_valid and present != [epoch, str(process.leases.token)]:
                return f"{process.name} has a valid lease, but another process may own its slot {slot}"
        reads = process.leases.reader_epoch
        present = world.committed["reader"]
        if reads is not None and process.leases.is_valid and present != [reads, str(process.leases.token)]:
            return f"{process.name} has a valid lease, but another process may be the reader"
    return None


def violation_of_dequeue(world: World, process: Process, seqs: list[int]) -> str | None:
    """A new owner sees no delivery whose settlement by another process is not committed yet."""
    for other in world.processes:
        for thread in other.threads:
            wrote = any(entry[0] in _WRITES for entry in thread.history)
            fenced = any(entry[0] == "FENCE" and entry[-1] for entry in thread.history)
            if other is not process and seqs and wrote and fenced:
                return f"{process.name} dequeued {seqs} while {other.name} settles them"
    return None


def violation_of_positions(world: World, process: Process) -> str | None:
    """A new reader continues at no position that a batch of another process is about to move."""
    for other in world.processes:
        for thread in other.threads:
            if other is not process and any(entry[0] == "INSERT" for entry in thread.history):
                return f"{process.name} read a position that {other.name} moves"
    return None


def violation_at_end(world: World) -> str | None:
    """Nothing waits forever, and a new process gets every slot after the leases of all others are over."""
    waiting = [thread.name for thread in world.threads() if thread.is_blocked]
    if waiting:
        return f"{', '.join(waiting)} wait for each other"
    world.abandon()
    world.seconds += 2 * RUN_SECONDS
    world.server.execute(f"UPDATE explorer.clock SET seconds = {world.seconds}")
    heir = SlotLeases(world.server.connection("heir of all"), kind="relay", name="", now=0.0)
    heir.join()
    owned = heir.rebalance().owned
    if len(owned) < world.server.slots:
        return f"no process can own the slots other than {sorted(owned)}"
    return None
