"""What the daemon asks of the durable queue between reading and delivering.

Every call is one transaction, durable when it returns, and is made from one thread; only outcomes (`settle`) may be
synced to disk later: half a second after the last that were, or when `changed_elsewhere` is asked, or by `close`. A
call that writes raises SpoolStalled, and has then changed nothing, when the disk is full or another process keeps the
spool for long: the same call may be made again. Every implementation passes tests/contract/test_spool.py.
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
    """A line (`part` is WHOLE), or the event number `part` (from 0) of it, that is rejected."""

    line: Line
    part: int
    reason: str


class Rereading(msgspec.Struct, frozen=True):
    """A rejected line or event that is to be read once more; `n` is its number among the rejected."""

    n: int
    source: str
    line: Line
    part: int


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """A group of lines with their fates, and the position that covers them.

    `read` counts the events that are new; `again` are the numbers of rejected ones that these fates replace. Where a
    batch holds too much for one transaction, only the last of its groups has the position.
    """

    source: str
    position: Position | None
    read: int
    again: Sequence[int] = ()
    deliveries: Sequence[Taken]
    skipped: Mapping[str, int]
    rejected: Sequence[Refused]


class Waiting(msgspec.Struct, frozen=True):
    """A pending delivery, with what is needed to attempt and to judge it. Times are Unix seconds.

    `since` has moved on by as long as the webhook was held. `history` are its latest failed attempts (history.py).
    `request_id` is for the log.
    """

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
    history: str | None
    body: bytes
    request_id: str = ""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What one delivery's latest attempts came to: delivered, dead, or pending again at `due`.

    `attempts`, `tries`, `refusals` and `history` are the new totals; `posts` is how many requests this adds to the
    tally.
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
    history: str | None = None


class Wanted(msgspec.Struct, frozen=True):
    """A lane's question for never attempted deliveries: at most `limit`, from beyond `after`.

    When `ordered`, those that wait for an earlier event of their message are left out: `settle` hands them over when
    that event is settled.
    """

    address: Address
    after: int
    limit: int
    ordered: bool


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one webhook stands, beside its configuration: what outlives a relay. Times are Unix seconds.

    `paused`: since when, by hand. `stopped`: why the endpoint is gone, with the hash of the configuration
    (`stopped_as`) for which that was found. `not_before`: until when it asked to be left alone. `hurried`: when
    `retry-now` was said last.
    """

    disabled: bool = False
    paused: float | None = None
    stopped: str | None = None
    stopped_as: str | None = None
    not_before: float | None = None
    hurried: float | None = None


class Retention(msgspec.Struct, frozen=True):
    """How long records, dead letters and rejected lines stay, in seconds, and how many records at most."""

    seconds: float
    records: int


class Spool(Protocol):
    # -- reading

    def positions(self) -> list[Position]:
        """The checkpoints of all sources; asked for once, before the first read."""
        ...

    def to_read_again(self, *, limit: int) -> list[Rereading]:
        """Rejected lines that `dead replay` put back; they stay so until an intake's `again` names them.

        At most `limit`, and at most about as many bytes as a source gives out at a time.
        """
        ...

    def append(self, intake: Intake, *, now: float, dedupe_window: float) -> int:
        """Make a group of lines durable together with their position. After it, the source may forget them.

        A delivery whose id is pending, dead, or was delivered in the last `dedupe_window` seconds is counted as a
        duplicate and not stored. Returns how many deliveries are pending now.
        """
        ...

    # -- delivering

    def fresh(self, wanted: Sequence[Wanted]) -> list[tuple[list[Waiting], int]]:
        """For each question never attempted deliveries in the order of reading, and where to go on from."""
        ...

    def due(self, address: Address, *, now: float, limit: int, without: Collection[int]) -> list[Waiting]:
        """Deliveries whose next attempt is due, longest due first, but for the `seq`s in `without`."""
        ...

    def next_due(self, address: Address, *, after: float) -> float | None:
        """When the first retry of this webhook that is due later than `after` is due, if there is one."""
        ...

    def next_dues(self) -> dict[Address, float]:
        """When the first retry of each webhook is due, for those that have one."""
        ...

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[Waiting]:
        """Record outcomes. Returns the deliveries that were waiting for one of these and may go now."""
        ...

    def bury(self, address: Address, *, reason: str, now: float, without: Collection[int], limit: int) -> int:
        """Make up to `limit` pending deliveries of a webhook dead letters, but for the `seq`s in `without`.

        Fewer than `limit`: there are no more.
        """
        ...

    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        """Make dead letters of the oldest pending deliveries that were read or replayed before `before`, and return
        how many: fewer than `limit` for now. Their webhook's clock counts: it stands still while it is held."""
        ...

    def make_due(self, address: Address, *, now: float, limit: int) -> int:
        """Make up to `limit` of a webhook's waiting retries due at `now`, and return how many.

        Fewer than `limit`: no retry waits for a time after `now`.
        """
        ...

    # -- how webhooks stand

    def pending(self) -> set[Address]:
        """The webhooks that have pending deliveries. Takes no longer when there are many."""
        ...

    def standing(self) -> dict[Address, Standing]:
        """Of every webhook that the spool has heard of."""
        ...

    def hold(self, address: Address, *, disabled: bool, now: float) -> None:
        """The applied webhook is disabled, or is not. A held (disabled or paused) one's deliveries do not age."""
        ...

    def remember(
        self, address: Address, *, stopped: str | None, stopped_as: str | None, not_before: float | None
    ) -> None:
        """Keep what an endpoint has said of itself (see Standing)."""
        ...

    # -- upkeep

    def changed_elsewhere(self) -> bool:
        """Whether another process (`dead replay`, `pause`) has written since this was asked last.

        Asked each second, also when nothing else happens: outcomes that are not synced yet are so afterwards.
        """
        ...

    def tidy(self, *, now: float, keep: Retention, limit: int) -> bool:
        """Forget a little of what has been kept for long enough. True: there is more of it."""
        ...

    def tally(self) -> dict[str, int]:
        """How often each thing has happened: ``read``, ``replayed``, ``delivered``, ``skipped:REASON``,
        ``rejected``, ``dead``, ``duplicates``, ``attempts``; and ``pending``, what is left."""
        ...

    def close(self) -> None: ...
