"""The ports of `spool move` on a spool in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from contract.memory_spool import RECORDS, Data, Endpoint, Row
from hookline.relay.delivery_record import Delivery
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.spool_values import State
from hookline.relay.spool.transfer import (
    MAX_BYTES_PER_MOVE,
    MAX_ROWS_PER_MOVE,
    Contents,
    MoveBatch,
    MovedDelivery,
    MovedLine,
    MovedMessage,
    MovedPosition,
    MovedWebhook,
)

_SAME_NAMES = (
    "due",
    "order_key",
    "attempts",
    "tries",
    "refusals",
    "source",
    "line",
    "reason",
    "http",
    "history",
    "body",
)
_NAMES_OF_DELIVERY = ("id", "request_id", "channel", "status", "detail", "execution_id")


class MemoryMoveSource:
    """Implements transfer.MoveSource."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def contents(self) -> Contents:
        states = Counter(row.state for row in self._data.rows.values())
        return Contents(
            pending=states[State.PENDING], dead=states[State.DEAD], records=sum(states[one] for one in RECORDS),
            lines=len(self._data.lines), messages=sum(map(len, self._data.messages.values())),
            positions=len(self._data.positions), webhooks=len(self._data.endpoints),
            readers=("",) if any(one.device or one.inode for one in self._data.positions) else (),
        )  # fmt: skip

    def webhooks(self) -> list[MovedWebhook]:
        return [
            MovedWebhook(address=address, state=one.state, held_since=one.held, held_seconds=one.idle)
            for address, one in self._data.endpoints.items()
        ]

    def followed_moves(self) -> Sequence[RecordedMove]:
        return list(self._data.moves)

    @contextmanager
    def take(self, *, now: float, reader: str | None = None) -> Iterator[MoveBatch]:
        data = self._data
        if seqs := self._some(sorted(data.rows)[:MAX_ROWS_PER_MOVE]):
            rows = [data.rows[seq] for seq in seqs]
            yield MoveBatch(deliveries=[self._moved(row, now) for row in rows])
            for seq in seqs:
                del data.rows[seq]
            data.tally["moved_out"] += sum(row.state is State.PENDING for row in rows)
            data.tally["records"] -= sum(row.state in RECORDS for row in rows)
        elif numbers := sorted(data.lines)[:MAX_ROWS_PER_MOVE]:
            yield MoveBatch(lines=[MovedLine(data.lines[n], n in data.replayed) for n in numbers])
            for n in numbers:
                del data.lines[n]
                data.replayed.discard(n)
        elif data.messages:
            stream = next(iter(data.messages))
            yield MoveBatch(messages=[MovedMessage(stream, number) for number in sorted(data.messages[stream])])
            del data.messages[stream]
        else:
            yield MoveBatch(positions=[MovedPosition("", one) for one in data.positions])
            data.positions.clear()
            data.endpoints.clear()

    def _some(self, seqs: Sequence[int]) -> Sequence[int]:
        """The first, until their bodies have about the size of a batch."""
        sizes = accumulate(len(self._data.rows[seq].body or b"") for seq in seqs)
        return seqs[: 1 + sum(size < MAX_BYTES_PER_MOVE for size in sizes)]

    def _moved(self, row: Row, now: float) -> MovedDelivery:
        return MovedDelivery(
            address=row.address, state=row.state, age=self._data.endpoints[row.address].clock(now) - row.since,
            settled=None if row.state is State.PENDING else row.settled, event_time=row.delivery.time,
            **{name: getattr(row, name) for name in _SAME_NAMES},
            **{name: getattr(row.delivery, name) for name in _NAMES_OF_DELIVERY},
        )  # fmt: skip


class MemoryMoveTarget:
    """Implements transfer.MoveTarget."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def add_webhooks(self, webhooks: Sequence[MovedWebhook], *, now: float) -> None:
        for one in webhooks:
            if (known := self._data.endpoints.get(one.address)) is None:
                self._data.endpoints[one.address] = Endpoint(one.state, one.held_since, one.held_seconds)
                continue
            own, other = known.state, one.state
            known.change(
                now, paused=other.paused if own.paused is None else own.paused,
                not_before=_later(own.not_before, other.not_before),
                retry_now_at=_later(own.retry_now_at, other.retry_now_at),
            )  # fmt: skip

    def add_followed_moves(self, moves: Sequence[RecordedMove], *, now: float) -> Sequence[RecordedMove]:
        for one in moves:
            self._data.follow_move(one, now=now)
        return list(self._data.moves)

    def add(self, batch: MoveBatch, *, now: float) -> int:
        new = [one for one in batch.deliveries if self._data.row_of(one.id) is None]
        for seq, one in enumerate(new, max([0, *self._data.rows]) + 1):
            self._data.rows[seq] = self._row(seq, one, now)
        self._data.tally["moved_in"] += sum(one.state is State.PENDING for one in new)
        self._data.tally["records"] += sum(one.state in RECORDS for one in new)
        return (
            len(new)
            + sum(self._add_line(one) for one in batch.lines)
            + sum(self._add_message(one) for one in batch.messages)
            + sum(self._advance(one) for one in batch.positions)
        )

    def _row(self, seq: int, one: MovedDelivery, now: float) -> Row:
        return Row(
            seq=seq, state=one.state, since=self._data.endpoints[one.address].clock(now) - one.age,
            settled=one.settled or 0.0, **{name: getattr(one, name) for name in _SAME_NAMES},
            delivery=Delivery(
                address=one.address, order_key=one.order_key, body=one.body or b"", time=one.event_time,
                **{name: getattr(one, name) for name in _NAMES_OF_DELIVERY},
            ),
        )  # fmt: skip

    def _add_line(self, one: MovedLine) -> bool:
        if not self._data.add_line(one.line):
            return False
        if one.replayed:
            self._data.replayed.add(max(self._data.lines))
        return True

    def _add_message(self, one: MovedMessage) -> bool:
        known = self._data.messages.setdefault(one.stream, set())
        before = len(known)
        known.add(one.number)
        return len(known) > before

    def _advance(self, moved: MovedPosition) -> bool:
        one = moved.position
        own = [
            known.offset
            for known in self._data.positions
            if (known.key == one.key if one.key else (known.device, known.inode) == (one.device, one.inode))
        ]
        if own and max(own) >= one.offset:
            return False
        self._data.move(one)
        return True


def _later(*times: float | None) -> float | None:
    return max((at for at in times if at is not None), default=None)
