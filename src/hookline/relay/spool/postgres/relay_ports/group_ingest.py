"""Stores groups of lines in a shared spool. Any process may store deliveries for any slot."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hookline.errors import MessagesKnown, MovesUnknown, PositionMoved, SpoolStalled
from hookline.model import Address
from hookline.relay.delivery_record import Line
from hookline.relay.sources.files.other_names import NamedPosition
from hookline.relay.sources.source import MAX_BYTES_PER_BATCH, Messages, Position
from hookline.relay.spool.postgres.binary_arrays import ints
from hookline.relay.spool.postgres.lease_statements import READER_FENCE
from hookline.relay.spool.postgres.relay_ports import source_positions
from hookline.relay.spool.postgres.relay_ports.crash_counts import CrashCounts
from hookline.relay.spool.postgres.relay_ports.delivery_writer import (
    IDENTIFY,
    DeliveryWriter,
    LaneAnswers,
    quiet_step,
)
from hookline.relay.spool.postgres.relay_ports.followed_moves import REFUSE_UNKNOWN_MOVES
from hookline.relay.spool.postgres.relay_ports.known_webhooks import KnownWebhook
from hookline.relay.spool.postgres.relay_ports.pending_queries import LINES_TO_REPLAY
from hookline.relay.spool.postgres.relay_ports.spool_process import CallIdentity
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.spool.postgres.spool_connection import Conflict, SpoolConnection, SpoolRow, Step
from hookline.relay.spool.spool_values import DequeueAnswer, DequeueRequest, Enqueued, IngestBatch, ReplayedLine


class GroupIngest(CrashCounts):
    """Implements spool.IngestSpool. The positions of files belong to `reader`, a name that processes may share."""

    reader: str = ""

    def __init__(self, connection: SpoolConnection, leases: SlotLeases) -> None:
        super().__init__(connection, leases)
        self._stored = CallIdentity()

    def _forget_streams(self) -> None:
        self._streams: dict[bytes, int] = {}
        self._forgotten: dict[bytes, int] = {}

    def positions(self) -> list[Position]:
        return source_positions.as_positions(self._connection.query(source_positions.READ_POSITIONS, (self.reader,)))

    def positions_of_others(self) -> list[NamedPosition]:
        return source_positions.as_named_positions(
            self._connection.query(*source_positions.others_query(self.reader))
        )

    def replayed_lines(self, *, limit: int) -> list[ReplayedLine]:
        """The owner of slot 0 reads them for all."""
        if 0 not in self.leases.owned:
            return []
        rows = self._connection.query(LINES_TO_REPLAY, (limit, MAX_BYTES_PER_BATCH))
        return [
            ReplayedLine(n, source, Line(line, data, length, sha256 if length > len(data) else None), part)
            for n, source, line, part, length, sha256, data in rows
        ]

    def enqueue(
        self, batch: IngestBatch, *, now: float, dedupe_window: float, requests: Sequence[DequeueRequest] = ()
    ) -> Enqueued:
        self._look_again()
        if batch.deliveries and batch.moves < self._latest_move:  # before an old address becomes known again
            raise _moves_unknown(batch)
        addresses = dict.fromkeys(one.delivery.address for one in batch.deliveries)
        webhooks = {address: self._webhooks.known_or_added(address) for address in addresses}
        lanes = self._lanes(batch, requests, webhooks)
        head = [self._settings(), (IDENTIFY, (self._stored.of(batch),))]
        guards = self._guards(batch)
        steps = self._steps(DeliveryWriter(batch, webhooks, now), lanes, dedupe_window)
        try:
            if guards:
                rows = self._connection.run(
                    *steps.values(), guards=[*head, *guards], check=lambda found: self._check(batch, found[2:])
                )
            else:
                rows = self._connection.run(*head, *steps.values())[2:]
        except Conflict as conflict:
            self._explain(conflict, batch)
            self._stored.end()
            return Enqueued(self.tally()["pending"])
        self._stored.end()
        return self._enqueued(batch, dict(zip(steps, rows, strict=True)), lanes, now)

    def _lanes(
        self, batch: IngestBatch, requests: Sequence[DequeueRequest], webhooks: Mapping[Address, KnownWebhook]
    ) -> LaneAnswers | None:
        """None: no request can be answered, because its slot has another owner or it gets nothing of the batch."""
        owned = self.leases.owned
        possible = {
            webhooks[one.address].n: one
            for one in requests
            if one.address in webhooks and webhooks[one.address].slot in owned
        }
        return LaneAnswers(possible, [one.delivery for one in batch.deliveries], webhooks) if possible else None

    def _steps(self, writer: DeliveryWriter, lanes: LaneAnswers | None, dedupe_window: float) -> dict[str, Step]:
        """The statements by name."""
        batch, steps = writer.batch, dict[str, Step]()
        if batch.deliveries:
            steps["lock"] = writer.lock_step()
            steps["moves"] = REFUSE_UNKNOWN_MOVES, (batch.moves,)
            slots = {one.slot for one in writer.webhooks.values()}
            steps["quiet"] = quiet_step({slot: at for slot, (_, at) in self._arrived.items() if slot in slots})
            if lanes is not None:
                steps["up to date"], steps["pending messages"] = lanes.steps()
            steps["store"] = writer.store_step(dedupe_window)
        others = writer.line_steps()
        if batch.position is not None:
            others += source_positions.position_steps(batch.position, self.reader, writer.now)
        if batch.messages is not None:
            stream = batch.messages.stream
            forgotten = self._forgotten.get(stream, -1)
            others += source_positions.message_steps(self._stream(stream), batch.messages, forgotten=forgotten)
        if batch.progress_of is not None:
            others += self._progress_steps(batch.progress_of)
        return steps | {f"other {n}": step for n, step in enumerate([*others, writer.count_step()])}

    def _guards(self, batch: IngestBatch) -> list[Step]:
        """The statements whose rows decide whether the batch may be stored, in the order of `_check`."""
        guards: list[Step] = []
        position = batch.position
        if (epoch := self._reader_epoch(batch)) is not None:
            guards.append((READER_FENCE, (self.reader, epoch, self.leases.token)))
        if position is not None and position.follows is not None:
            guards.append(source_positions.follows_guard(position, self.reader))
        if batch.messages is not None:
            guards.append(self._messages_query(batch.messages))
        return guards

    def _check(self, batch: IngestBatch, found: Sequence[list[SpoolRow]]) -> None:
        """Raises PositionMoved and MessagesKnown."""
        rows, position = iter(found), batch.position
        if self._reader_epoch(batch) is not None and not next(rows):
            raise PositionMoved(f"{batch.source}: another process reads the sources of {self.reader} now")
        if position is not None and position.follows is not None:
            source_positions.require_follows(position, next(rows))
        if batch.messages is not None and (known := next(rows)):
            raise MessagesKnown(frozenset(number for (number,) in known))

    def _reader_epoch(self, batch: IngestBatch) -> int | None:
        """The epoch of the reader's lease under which the batch was read. None: it needs no lease."""
        position = batch.position
        if batch.epoch is not None:
            return batch.epoch
        if self.reader and position is not None and position.inode:
            return -1 if self.leases.reader_epoch is None else self.leases.reader_epoch
        return None

    def _explain(self, conflict: Conflict, batch: IngestBatch) -> None:
        """Returns if the batch was stored by an earlier call, whose answer was lost."""
        if conflict.table == "stored_batch":
            return
        if conflict.table == "followed_move":
            raise _moves_unknown(batch) from conflict
        if conflict.table == "message" and batch.messages is not None:
            statement, values = self._messages_query(batch.messages)
            if known := self._connection.query(statement, values):
                raise MessagesKnown(frozenset(number for (number,) in known)) from conflict
        if conflict.table == "position" and batch.position is not None and batch.position.follows is not None:
            raise PositionMoved(f"{batch.position.name}: another reader has moved the position") from conflict
        raise SpoolStalled(f"another process writes the same row of {conflict.table} in this moment") from conflict

    def _enqueued(
        self, batch: IngestBatch, rows: Mapping[str, list[SpoolRow]], lanes: LaneAnswers | None, now: float
    ) -> Enqueued:
        if batch.messages is not None:
            self._forgotten[batch.messages.stream] = batch.messages.floor
        stored = rows.get("store", [])
        pending = self._count_stored(len(stored))
        answers: Sequence[DequeueAnswer] = ()
        all_new = len(stored) == len(batch.deliveries) and not any(revived for _, revived in stored[:1])
        seqs = [seq for seq, _ in stored]
        if all_new:
            self._pass_over(batch, seqs, {slot for (slot,) in rows.get("quiet", ())})
        if lanes is not None and all_new:
            answers = lanes.answers(rows["up to date"], rows["pending messages"], seqs, now)
        return Enqueued(pending, answers)

    def _pass_over(self, batch: IngestBatch, seqs: Sequence[int], quiet: Collection[int]) -> None:
        """Omit these deliveries from the arrivals, where no delivery of another process comes before them."""
        for seq, new in zip(seqs, batch.deliveries, strict=True):
            slot = self._webhooks.slot(new.delivery.address)
            if slot in quiet and slot in self._arrived:
                self._arrived[slot] = self._arrived[slot][0], seq

    def _count_stored(self, stored: int) -> int:
        if self._pending is None:
            return self.tally()["pending"]
        self._pending += stored
        return self._pending

    def _messages_query(self, messages: Messages) -> tuple[str, Sequence[object]]:
        return source_positions.FIND_MESSAGES, (self._stream(messages.stream), ints(list(messages.numbers)))

    def _stream(self, identity: bytes) -> int:
        """The number of a stream. A new stream receives one."""
        if identity not in self._streams:
            found = self._connection.query(source_positions.FIND_STREAM, (identity,))
            if not found:
                self._connection.query(source_positions.ADD_STREAM, (identity,))
                found = self._connection.query(source_positions.FIND_STREAM, (identity,))
            self._streams[identity] = found[0][0]
        return self._streams[identity]


def _moves_unknown(batch: IngestBatch) -> MovesUnknown:
    return MovesUnknown(f"{batch.source}: lines were routed before a webhook has moved")
