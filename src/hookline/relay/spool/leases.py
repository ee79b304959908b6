"""The port of a spool that several processes share: which endpoints this process owns, and for how long.

An endpoint belongs to a slot, and a slot has at most one owner at a time. A slot has an epoch, which grows with each
change of its owner. All calls that write raise SpoolStalled while the database is away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from hookline.errors import WrongUse
from hookline.model import Address
from hookline.relay.sources.files.other_names import NamedPosition
from hookline.relay.spool.spool import Spool


class Membership(NamedTuple):
    """This process among the others: the epochs of the slots that it owns, the number of slots that it should own,
    and the number of living processes."""

    owned: Mapping[int, int]
    target: int
    processes: int


class SlotOwner(Protocol):
    """The leases of one process. The calls are made from one thread; the properties are read from any thread.

    `owned` has the epoch of each owned slot and is replaced as a whole. `valid_seconds` is the rest of the time for
    which this process may send, by a clock that also runs while the machine is suspended; negative: it is over.
    `lease_seconds` is the length of a lease.
    """

    @property
    def owned(self) -> Mapping[int, int]: ...

    @property
    def is_valid(self) -> bool: ...

    @property
    def valid_seconds(self) -> float: ...

    @property
    def lease_seconds(self) -> float: ...

    @property
    def reader_epoch(self) -> int | None:
        """The epoch of the reader's lease; None: another process reads these sources."""

    def slot_of(self, address: Address) -> int: ...

    def join(self) -> None:
        """Become one of the processes of the spool, without slots. Called once, and after each lost lease."""

    def renew(self) -> bool:
        """Extend the lease. Called every second. False: it was over, and everything is lost."""

    def rebalance(self) -> Membership:
        """Take free slots up to the fair share, also those of processes whose lease is over. Called after `renew`."""

    def release(self, slots: Collection[int]) -> None:
        """Give slots up. Called when the process owns too many, after their lanes have ended."""

    def take_reader(self, name: str) -> bool:
        """Become the reader of the sources of this name. Called each second until it returns True."""

    def leave(self) -> None:
        """Give everything up. Called once, last."""


class SharedSpool(Spool, Protocol):
    """All ports of a relay on a shared spool. Calls about endpoints that this process does not own have no effect.

    `reader` is the name whose positions the ingester reads and writes; empty: the relay reads no file.
    """

    reader: str

    @property
    def leases(self) -> SlotOwner: ...

    def positions_of_others(self) -> list[NamedPosition]:
        """The positions of files that relays with other names have read, the latest ones. Called when the sources of
        `reader` are opened."""

    def latest_place(self) -> int:
        """The place of the latest delivery that any process has stored, in the order of the spool. Called once, at
        the end of the input."""

    def pending_until(self, place: int) -> dict[Address, bool]:
        """The webhooks with pending deliveries up to a place, whoever owns them, and whether each is disabled or
        paused. A long backlog costs no more time. Called several times a second after the end of the input."""

    def arrivals(self) -> set[Address]:
        """The webhooks for which deliveries were stored since the last call, by any process. Called several times a
        second."""


def not_shared(name: str) -> WrongUse:
    """The error for a spool that one relay at a time opens."""
    return WrongUse(
        f"the spool {name} is not shared: one relay at a time opens it",
        hint="name a spool in PostgreSQL with --spool postgresql://…",
    )
