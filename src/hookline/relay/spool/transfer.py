"""The ports of `spool move`, and the move: everything that a spool holds goes to another spool, batch by batch.

Two spools share no transaction. A batch is first committed in the target, which leaves out what it knows, and then
removed from the source. A move that was interrupted in between finds the batch again, and the target knows it, so
nothing is lost and nothing is there twice. The ports have a suite in tests/contract/, and every registered store runs
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeVar

import msgspec

from hookline.model import Address
from hookline.relay.delivery_record import DeadLine
from hookline.relay.sources.source import Position
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.spool_values import EndpointState, State

MAX_ROWS_PER_MOVE: Final = 500
# A shared target commits a batch within a third of a lease, also over a slow line.
MAX_BYTES_PER_MOVE: Final = 1024 * 1024

MoveProgress = Callable[[int, int | None], None]


class MovedWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, and its own clock: it is held (disabled or paused) since `held_since`, and was for `held_seconds`
    before."""

    address: Address
    state: EndpointState
    held_since: float | None
    held_seconds: float


class MovedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A pending delivery, a dead letter (both with a `body`), or a record. `age` is in seconds, by the clock of its
    webhook. The other fields are those of the stores' tables.
    """

    id: bytes
    address: Address
    state: State
    age: float
    due: float | None
    order_key: int | None
    attempts: int
    tries: int
    refusals: int
    settled: float | None
    request_id: str
    channel: str
    status: str
    event_time: str | None
    source: str
    line: int
    reason: str | None
    http: int | None
    detail: str | None
    history: str | None
    execution_id: str | None
    body: bytes | None


_Addressed = TypeVar("_Addressed", MovedWebhook, MovedDelivery)


class MovedLine(msgspec.Struct, frozen=True):
    """A rejected line or event. `replayed`: an operator replays it, and the next relay reads it."""

    line: DeadLine
    replayed: bool


class MovedPosition(msgspec.Struct, frozen=True):
    """A position, and the `--name` of the relays that read its source. It is empty in a spool with one owner, and for
    sources that need no name."""

    reader: str
    position: Position


class MovedMessage(msgspec.Struct, frozen=True):
    """A message of a stream that is stored (source.Messages)."""

    stream: bytes
    number: int


class MoveBatch(msgspec.Struct, frozen=True, kw_only=True):
    deliveries: Sequence[MovedDelivery] = ()
    lines: Sequence[MovedLine] = ()
    messages: Sequence[MovedMessage] = ()
    positions: Sequence[MovedPosition] = ()

    @property
    def size(self) -> int:
        return len(self.deliveries) + len(self.lines) + len(self.messages) + len(self.positions)


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of rows that a spool holds. `readers` are the names that have positions of files, in order."""

    pending: int = 0
    dead: int = 0
    records: int = 0
    lines: int = 0
    messages: int = 0
    positions: int = 0
    webhooks: int = 0
    readers: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return self.pending + self.dead + self.records + self.lines + self.messages + self.positions


class MoveSource(Protocol):
    """The spool that is emptied. From its creation to its end, no relay can open it."""

    def contents(self) -> Contents:
        """Called once, first."""

    def webhooks(self) -> list[MovedWebhook]:
        """All that the spool knows. Called once, before the first batch."""

    def followed_moves(self) -> Sequence[RecordedMove]:
        """The moves of webhooks that were followed, in their order. Called once, before the first batch. The spool
        keeps them."""

    def take(self, *, now: float, reader: str | None = None) -> AbstractContextManager[MoveBatch]:
        """The next batch, in a transaction that removes it at the end of the block, unless an exception ends it.

        At most MAX_ROWS_PER_MOVE rows and about MAX_BYTES_PER_MOVE: first all deliveries in the order of reading,
        then lines, messages, and last the positions, with which the spool forgets its webhooks.
        Called until a batch is empty. The removal counts pending deliveries as ``moved_out``; nothing else changes
        the account.

        Args:
            now: The time, for the ages of deliveries: the same for source and target.
            reader: Only the positions of this reader, and those without one. None: all.
        """


class MoveTarget(Protocol):
    """The spool that is filled. A spool with one owner is locked for the move; relays may use a shared one."""

    def add_webhooks(self, webhooks: Sequence[MovedWebhook], *, now: float) -> None:
        """Add those that the spool does not know, with their state. Called once, before the first batch.

        A known one keeps its own state. If it is not paused and the other one is, it is paused from then on, and
        `not_before` and `retry_now_at` become the later ones.
        """

    def add_followed_moves(self, moves: Sequence[RecordedMove], *, now: float) -> Sequence[RecordedMove]:
        """Follow the moves of webhooks that the source has followed, except those that are. Called once, first: all
        that comes later has its new address already. Returns all moves that the target has followed, in their order.

        In a shared spool, only the owner of an address may give its rows to another one. Raises SpoolUnusable, before
        anything has changed, if it knows an address from which a webhook has to move.
        """

    def add(self, batch: MoveBatch, *, now: float) -> int:
        """Store a batch, in one synced transaction. Returns the number of rows that the spool did not know.

        It leaves out what it knows: a delivery by its id, in any state; a line by its place and hash; a message; a
        position if its own one of the same content is as far. New deliveries come after its own in the order of
        reading. New pending ones count as ``moved_in``.
        """


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of rows that were removed from the source; the target knew `known` of them."""

    contents: Contents
    known: int


def move(
    source: MoveSource,
    target: MoveTarget,
    *,
    now: float,
    reader: str | None = None,
    rename: Callable[[MovedPosition], MovedPosition] = lambda one: one,
    on_progress: MoveProgress | None = None,
) -> Moved:
    """Move everything. Called again after an interruption, it moves the rest.

    Args:
        source: Where it comes from.
        target: Where it goes.
        now: The time.
        reader: As in `MoveSource.take`.
        rename: Gives a position the reader that it has in the target.
        on_progress: Receives the numbers of rows moved so far and of all rows.

    Returns:
        The numbers of moved rows.
    """
    total = source.contents().rows
    moved: Counter[str] = Counter()
    known = 0
    followed = source.followed_moves()
    later = [one for one in target.add_followed_moves(followed, now=now) if one not in followed]
    webhooks = source.webhooks()
    target.add_webhooks([_at_new_address(one, later) for one in webhooks], now=now)
    while True:
        with source.take(now=now, reader=reader) as batch:
            if not batch.size:
                break
            renamed = [rename(one) for one in batch.positions]
            deliveries = [_at_new_address(one, later) for one in batch.deliveries]
            new = target.add(msgspec.structs.replace(batch, deliveries=deliveries, positions=renamed), now=now)
        moved.update(_kind(one.state) for one in batch.deliveries)
        moved.update(lines=len(batch.lines), messages=len(batch.messages), positions=len(batch.positions))
        known += batch.size - new
        if on_progress is not None:
            on_progress(min(total, moved.total()), total)
    return Moved(
        contents=Contents(
            pending=moved["pending"], dead=moved["dead"], records=moved["records"], lines=moved["lines"],
            messages=moved["messages"], positions=moved["positions"], webhooks=len(webhooks),
        ),
        known=known,
    )  # fmt: skip


def _at_new_address(one: _Addressed, moves: Sequence[RecordedMove]) -> _Addressed:
    """The webhook or delivery after moves that only the target has followed."""
    address = one.address
    for move in moves:
        if move.old == address:
            address = move.new
    return one if address == one.address else msgspec.structs.replace(one, address=address)


def _kind(state: State) -> str:
    return {State.PENDING: "pending", State.DEAD: "dead"}.get(state, "records")
