"""The scenarios that are explored: small enough for every interleaving, each for one kind of change of an owner."""

from __future__ import annotations

from explorer.calls import (
    deliver,
    lease_thread,
    read,
    rebalance,
    release,
    renew,
    settle,
    spool_thread,
    store,
    take_reader,
)
from explorer.explorer import Scenario
from explorer.world import World
from hookline.relay.spool.spool_values import State


def _takeover(world: World) -> None:
    """The owner was stopped while it settles. Another process takes over, and delivers."""
    owner, heir = world.process("owner", {0: 1}), world.process("heir", {})
    world.let_live(heir)
    world.store_first_state({7: 0})
    spool_thread(world, owner, settle(world, owner, 0, 7))
    lease_thread(world, heir, rebalance(heir))
    spool_thread(world, heir, deliver(world, heir, 0))


def _renewal(world: World) -> None:
    """The owner renews its lease before, at or after the end, while another process looks for expired ones."""
    owner, heir = world.process("owner", {0: 1, 1: 1}), world.process("heir", {})
    world.let_live(heir)
    world.store_first_state({7: 0})
    lease_thread(world, owner, renew(owner))
    lease_thread(world, heir, rebalance(heir))


def _late_renewal(world: World) -> None:
    """The owner wakes after its lease, settles and renews, while another process takes over."""
    owner, heir = world.process("owner", {0: 1, 1: 1}), world.process("heir", {})
    world.let_expire(owner)
    world.store_first_state({7: 0})
    lease_thread(world, owner, renew(owner))
    spool_thread(world, owner, settle(world, owner, 0, 7))
    lease_thread(world, heir, rebalance(heir))


def _giving_up(world: World) -> None:
    """The owner gives a slot up, with a settlement in hand, and another process takes it."""
    heir, owner = world.process("heir", {}), world.process("owner", {0: 1})
    world.nobody_dies()
    world.store_first_state({7: 0})
    spool_thread(world, owner, settle(world, owner, 0, 7))
    lease_thread(world, owner, release(owner, 0))
    lease_thread(world, heir, rebalance(heir))


def _taking_again(world: World) -> None:
    """The owner gives its slot up and takes it again, with a settlement of the earlier time in hand."""
    owner = world.process("owner", {0: 1})
    world.store_first_state({7: 0})
    spool_thread(world, owner, settle(world, owner, 0, 7))
    lease_thread(world, owner, release(owner, 0), rebalance(owner))


def _two_heirs(world: World) -> None:
    """Two processes take over the slots of a third at the same time."""
    owner, heirs = world.process("owner", {0: 1, 1: 1}), [world.process(name, {}) for name in ("first", "second")]
    world.let_expire(owner)
    world.store_first_state({7: 0})
    for heir in heirs:
        lease_thread(world, heir, rebalance(heir))


def _standby(world: World) -> None:
    """The reader wakes after its lease and stores a batch, while a standby becomes the reader and continues."""
    owner, heir = world.process("owner", {}), world.process("heir", {})
    owner.leases.reader_epoch = 1
    world.let_expire(owner)
    world.store_first_state({})
    spool_thread(world, owner, store(owner, 10))
    lease_thread(world, heir, rebalance(heir), take_reader(heir))
    spool_thread(world, heir, read(world, heir))


def _whole_lives(world: World) -> None:
    """The owner renews and delivers, while another process takes over and delivers."""
    owner, heir = world.process("owner", {0: 1, 1: 1}), world.process("heir", {})
    world.let_live(heir)
    world.store_first_state({7: 0})
    lease_thread(world, owner, renew(owner))
    spool_thread(world, owner, deliver(world, owner, 0))
    lease_thread(world, heir, rebalance(heir))
    spool_thread(world, heir, deliver(world, heir, 0))


def _giving_up_and_delivering(world: World) -> None:
    """The owner gives its slot up and takes one again. In between, another process tries the delivery."""
    heir, owner = world.process("heir", {}), world.process("owner", {0: 1})
    world.nobody_dies()
    world.store_first_state({7: 0})
    spool_thread(world, owner, settle(world, owner, 0, 7))
    lease_thread(world, owner, release(owner, 0), rebalance(owner))
    lease_thread(world, heir, rebalance(heir), release(heir, 0))
    spool_thread(world, heir, deliver(world, heir, 0, state=State.PENDING))


def _two_heirs_and_a_settlement(world: World) -> None:
    """As `_two_heirs`; the owner wakes and settles."""
    _two_heirs(world)
    owner = world.processes[0]
    spool_thread(world, owner, settle(world, owner, 0, 7))


SCENARIOS = {
    "takeover": Scenario(slots=1, ticks=2, build=_takeover),
    "renewal": Scenario(slots=2, ticks=2, build=_renewal),
    "late renewal": Scenario(slots=2, ticks=0, build=_late_renewal),
    "giving up": Scenario(slots=2, ticks=0, build=_giving_up),
    "taking again": Scenario(slots=1, ticks=0, build=_taking_again),
    "two heirs": Scenario(slots=2, ticks=0, build=_two_heirs),
    "standby": Scenario(slots=1, ticks=0, build=_standby),
}
LONG_SCENARIOS = {
    "whole lives": Scenario(slots=2, ticks=2, build=_whole_lives),
    "giving up and delivering": Scenario(slots=2, ticks=0, build=_giving_up_and_delivering),
    "two heirs and a settlement": Scenario(slots=2, ticks=0, build=_two_heirs_and_a_settlement),
}
