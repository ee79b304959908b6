"""Parses and routes a batch of lines into the groups that the spool stores, each in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from hookline.relay.delivery_record import WHOLE_LINE, Delivery, Line, Rejected, RoutingResult, Skipped
from hookline.relay.event import Event
from hookline.relay.formats.format import MAX_EVENT_BYTES_PER_LINE, MAX_EVENTS_PER_LINE, ParsedEvent
from hookline.relay.formats.line_reader import FEWER_EVENTS, event_of, read_carefully, read_quickly
from hookline.relay.payload_line import PayloadLine
from hookline.relay.routing import Defaults, Routes, SkipNames
from hookline.relay.sources.json_values import split_values
from hookline.relay.sources.source import START_POSITION, Batch, Messages, Position
from hookline.relay.spool.spool_values import IngestBatch, NewDelivery, RejectedLine, ReplayedLine

# The limit for all copies of a line that are kept with its rejected events.
MAX_COPIED_BYTES: Final = 64 * 1024

# The line that a dead letter would keep, the number of the event in it (or WHOLE_LINE), and the routing result.
RoutedEvent = tuple[Line, int, RoutingResult]


class IngestContext(msgspec.Struct, frozen=True, kw_only=True):
    """Replaced as a whole when the state changes. Pass `names`, the statuses with a counter, on to the next one.
    `moves` is the number of the latest followed move that the routes know (IngestBatch.moves)."""

    routes: Routes
    defaults: Defaults
    format: str = "auto"
    moves: int = 0
    names: SkipNames = msgspec.field(default_factory=SkipNames)


def route_line(line: Line, context: IngestContext) -> list[RoutedEvent]:
    """Returns the routing result of each event of a line, in order, with the line that a dead letter keeps. A line
    without events has one result.

    If each item of a list is one event, a rejected event keeps only its own item, so that a list of a thousand is not
    kept a thousand times. With any other line it keeps the whole line, because its events share fields. If the copies
    of the line exceed MAX_COPIED_BYTES, the whole line is rejected, with all its events.
    """
    if (found := read_quickly(line, context.format, context.defaults.mapping)) is not None:
        return [(line, WHOLE_LINE, _route_quickly(found, context))]
    results = _route_events(line, context)
    if len(results) == 1:
        return [(line, WHOLE_LINE, results[0])]
    rejected = [result for result in results if isinstance(result, Rejected)]
    if rejected and (items := _items(line, len(results))):
        return [
            (Line(line.number, item, len(item)), WHOLE_LINE, result)
            if isinstance(result, Rejected)
            else (line, part, result)
            for part, (item, result) in enumerate(zip(items, results, strict=True))
        ]
    if len(rejected) * line.length > MAX_COPIED_BYTES:
        reason = (
            f"{rejected[0].reason} ({len(rejected):,} of the line's {len(results):,} events are rejected, "
            "too many to keep one by one; the whole line is rejected)"
        )
        return [(line, WHOLE_LINE, Rejected(reason))]
    return [(line, part, result) for part, result in enumerate(results)]


def _route_quickly(found: Event | PayloadLine, context: IngestContext) -> RoutingResult:
    if isinstance(found, PayloadLine) and (delivery := context.routes.send_as_read(found)):
        return delivery
    return context.routes.route(event_of(found), context.defaults)


def _route_events(line: Line, context: IngestContext) -> list[RoutingResult]:
    """Returns the results of a line's events. A quick reader would give the same."""
    return [_route(parsed, context) for parsed in read_carefully(line, context.format, context.defaults.mapping)]


def _route(parsed: ParsedEvent, context: IngestContext) -> RoutingResult:
    if isinstance(parsed, Event):
        return context.routes.route(parsed, context.defaults)
    return context.routes.reroute(parsed) if isinstance(parsed, Delivery) else parsed


def _items(line: Line, events: int) -> list[bytes] | None:
    """Returns the items of a list, or the values of a line that holds several, if there are as many as events.
    Otherwise returns None.
    """
    if not line.data.lstrip().startswith((b"[", b"{")):
        return None
    items = split_values(line.data, MAX_EVENTS_PER_LINE)
    if not items:
        decoded = msgspec.json.decode(line.data)
        items = [msgspec.json.encode(item) for item in decoded] if isinstance(decoded, list) else []
    return items if len(items) == events else None


class BatchBuilder:
    """Collects the routing results of one transaction."""

    def __init__(self, context: IngestContext) -> None:
        self.lines = self.events = 0
        self._bytes = 0
        self._names, self._moves = context.names, context.moves
        self._deliveries: list[NewDelivery] = []
        self._skipped: Counter[str] = Counter()
        self._rejected: list[RejectedLine] = []

    def add_line(self, routed: Sequence[RoutedEvent]) -> bool:
        """Adds the events of a line. Returns whether the transaction is full."""
        self.lines += 1
        self.events += len(routed)
        for line, part, result in routed:
            if isinstance(result, Delivery):
                self._deliveries.append(NewDelivery(line.number, result))
                self._bytes += len(result.body)
            elif isinstance(result, Skipped):
                self._skipped[self._names.key(result)] += 1
            else:
                self._rejected.append(RejectedLine(line, part, result.reason))
                self._bytes += len(line.data)
        return self.events >= MAX_EVENTS_PER_LINE or self._bytes >= MAX_EVENT_BYTES_PER_LINE

    def batch(self, source: str, position: Position | None, replaced_lines: Sequence[int] = ()) -> IngestBatch:
        """Returns the batch of `source`. A replayed line that was rejected as a whole has counted as one event."""
        return IngestBatch(
            source=source,
            position=position,
            read=self.events - len(replaced_lines),
            replaced_lines=replaced_lines,
            deliveries=self._deliveries,
            skipped=self._skipped,
            rejected=self._rejected,
            moves=self._moves,
        )


def build_batch(batch: Batch, context: IngestContext, start: int = 0) -> tuple[IngestBatch, int]:
    """Parses and routes the lines of a batch from index `start` on, as many as fit into one transaction.

    Returns the group and the number of its lines. Only the last group of a file has the batch's position. After a
    crash between two groups the relay reads lines again, and their delivery ids are duplicates. Each group of a log
    has a position, so that another reader cannot store the same lines in between.
    """
    group = BatchBuilder(context)
    for line in islice(batch.lines, start, None):
        if group.add_line(route_line(line, context)):
            break
    end = start + group.lines
    return group_of(batch, group, start=start, end=end), group.lines


def group_of(batch: Batch, group: BatchBuilder, *, start: int, end: int, known: Collection[int] = ()) -> IngestBatch:
    """Returns the group of the lines from index `start` up to `end` whose results were collected. The messages in
    `known` were left out, because the spool has stored them before."""
    built, redelivered = group.batch(batch.source, _position(batch, start, end)), end - start - group.lines
    return msgspec.structs.replace(
        built,
        read=built.read + redelivered,
        redelivered=redelivered,
        messages=_messages(batch, start, end, known),
        epoch=batch.epoch,
    )


def build_again(batch: Batch, context: IngestContext, known: Collection[int], *, start: int, end: int) -> IngestBatch:
    """Builds the group of the lines from index `start` up to `end` again, without the messages in `known`."""
    group = BatchBuilder(context)
    for line in new_lines(batch, known, start=start, end=end):
        group.add_line(route_line(line, context))
    return group_of(batch, group, start=start, end=end, known=known)


def new_lines(batch: Batch, known: Collection[int], *, start: int, end: int) -> Iterator[Line]:
    """The lines from index `start` up to `end` whose messages are not in `known`."""
    if batch.messages is None:
        return iter(batch.lines[start:end])
    numbers = batch.messages.numbers[start:end]
    return (line for line, number in zip(batch.lines[start:end], numbers, strict=True) if number not in known)


def _messages(batch: Batch, start: int, end: int, known: Collection[int]) -> Messages | None:
    if (messages := batch.messages) is None:
        return None
    numbers = [number for number in messages.numbers[start:end] if number not in known]
    return msgspec.structs.replace(messages, numbers=numbers)


def _position(batch: Batch, start: int, end: int) -> Position | None:
    """Returns the position after the lines from index `start` up to `end` of the batch."""
    position, is_last = batch.position, end == len(batch.lines)
    if position is START_POSITION:
        return None
    if position.follows is None or position.inode:
        return position if is_last else None
    offset = position.offset if is_last else batch.lines[end - 1].number + 1
    follows = batch.lines[start - 1].number + 1 if start else position.follows
    return msgspec.structs.replace(position, line=offset, offset=offset, follows=follows)


def build_replay_batch(lines: Sequence[ReplayedLine], source: str, context: IngestContext) -> tuple[IngestBatch, int]:
    """Parses and routes rejected lines and events of one source again, as many as fit into one transaction.

    If one event of a line was rejected, only that event is routed. Returns the group and the number of its lines.
    """
    group = BatchBuilder(context)
    for replayed in lines:
        if group.add_line(route_again(replayed, context)):
            break
    return replay_group_of(lines, group, source), group.lines


def replay_group_of(lines: Sequence[ReplayedLine], group: BatchBuilder, source: str) -> IngestBatch:
    """Returns the group of the first replayed lines, whose results were collected."""
    return group.batch(source, None, [replayed.n for replayed in lines[: group.lines]])


def route_again(replayed: ReplayedLine, context: IngestContext) -> list[RoutedEvent]:
    """Returns the routing results of a replayed line, or of the event in it that was rejected."""
    line, part = replayed.line, replayed.part
    if part == WHOLE_LINE:
        return route_line(line, context)
    results = _route_events(line, context)
    return [(line, part, results[part] if part < len(results) else FEWER_EVENTS)]
