"""What the daemon asks of the durable queue between reading and delivering.

Every call is one transaction, synced to disk before it returns, and is made from one thread. Every
implementation passes tests/contract/test_spool.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from hookline.model import Address
from hookline.relay.fates import Delivery, Line
from hookline.relay.sources.port import Position
from hookline.relay.spool.schema import State


class Taken(msgspec.Struct, frozen=True):
    """A delivery, and the line that it came from."""

    line: int
    delivery: Delivery


class Refused(msgspec.Struct, frozen=True):
    """A line, or the event number `part` (from 0) of it, that is rejected."""

    line: Line
    part: int
    reason: str


class Rereading(msgspec.Struct, frozen=True):
    """A rejected event that is to be read once more; `n` is its number among the rejected."""

    n: int
    source: str
    line: Line
    part: int


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """A group of lines with their fates, and the position that covers them.

    `read` counts the events that are new; `again` are the numbers of rejected ones that these fates replace.
    """

    source: str
    position: Position | None
    read: int
    again: Sequence[int] = ()
    deliveries: Sequence[Taken]
    skipped: Mapping[str, int]
    rejected: Sequence[Refused]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A pending delivery, with what is needed to attempt and to judge it. Times are Unix seconds."""

    seq: int
    id: bytes
    address: Address
    due: float | None
    order_key: int | None
    attempts: int
    tries: int
    refusals: int
    since: float
    event_time: str | None
    body: bytes


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What one delivery's latest attempts came to: delivered, dead, or pending again at `due`.

    `attempts`, `tries` and `refusals` are the new totals; `posts` is how many requests this adds to the tally.
    """

    seq: int
    order_key: int | None
    state: State
    attempts: int
    tries: int
    refusals: int
    posts: int
    due: float | None = None
    reason: str | None = None
    http: int | None = None


class Spool(Protocol):
    def positions(self) -> list[Position]:
        """The checkpoints of all sources; asked for once, before the first read."""
        ...

    def to_read_again(self, *, limit: int) -> list[Rereading]:
        """Rejected lines that `dead replay` put back; they stay so until an intake's `again` names them."""
        ...

    def append(self, intake: Intake, *, now: float, dedupe_window: float) -> None:
        """Make a group of lines durable together with their position. After it, the source may forget them.

        A delivery whose id is pending, dead, or was delivered in the last `dedupe_window` seconds is counted as a
        duplicate and not stored.
        """
        ...

    def fresh(self, address: Address, *, after: int, limit: int, ordered: bool) -> tuple[list[Waiting], int]:
        """Never attempted deliveries in the order of reading, from beyond `after`, and where to go on from.

        When `ordered`, those that wait for an earlier event of their message are left out: `settle` hands them
        over when that event is settled.
        """
        ...

    def due(self, address: Address, *, now: float, limit: int, without: Collection[int]) -> list[Waiting]:
        """Deliveries whose next attempt is due, longest due first, but for the `seq`s in `without`."""
        ...

    def next_due(self, address: Address, *, after: float) -> float | None:
        """When the first retry of this webhook that is due later than `after` is due, if there is one."""
        ...

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[Waiting]:
        """Record outcomes. Returns the deliveries that were waiting for one of these and may go now."""
        ...

    def bury(self, address: Address, *, reason: str, now: float, without: Collection[int]) -> int:
        """Make every pending delivery of a webhook a dead letter, but for the `seq`s in `without`."""
        ...

    def changed_elsewhere(self) -> bool:
        """Whether another process (`dead replay`) has written since this was asked last."""
        ...

    def pending(self) -> set[Address]:
        """The webhooks that have pending deliveries. Takes no longer when there are many."""
        ...

    def hold(self, address: Address, *, held: bool, now: float) -> None:
        """A held webhook's deliveries do not age. Idempotent."""
        ...

    def tally(self) -> dict[str, int]:
        """How often each thing has happened: ``read``, ``replayed``, ``delivered``, ``skipped:REASON``,
        ``rejected``, ``dead``, ``duplicates``, ``attempts``; and ``pending``, what is left."""
        ...

    def close(self) -> None: ...
