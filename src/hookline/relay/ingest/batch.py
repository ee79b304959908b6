"""Parses and routes a batch of lines into the groups that the spool stores, each in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Final

import msgspec

from hookline.relay.delivery_record import WHOLE_LINE, Delivery, Line, Rejected, RoutingResult, Skipped
from hookline.relay.event import Event
from hookline.relay.formats.format import MAX_EVENT_BYTES_PER_LINE, MAX_EVENTS_PER_LINE, ParsedEvent
from hookline.relay.formats.line_reader import FEWER_EVENTS, read_line
from hookline.relay.routing import Defaults, Routes, SkipNames
from hookline.relay.sources.json_values import split_values
from hookline.relay.sources.source import START_POSITION, Batch, Position
from hookline.relay.spool.spool import IngestBatch, NewDelivery, RejectedLine, ReplayedLine

# The limit for all copies of a line that are kept with its rejected events.
MAX_COPIED_BYTES: Final = 64 * 1024

# The line that a dead letter would keep, the number of the event in it (or WHOLE_LINE), and the routing result.
RoutedEvent = tuple[Line, int, RoutingResult]


class IngestContext(msgspec.Struct, frozen=True, kw_only=True):
    """Replaced as a whole when the state changes. Pass `names`, the statuses with a counter, on to the next one."""

    routes: Routes
    defaults: Defaults
    format: str = "auto"
    names: SkipNames = msgspec.field(default_factory=SkipNames)


def route_line(line: Line, context: IngestContext) -> list[RoutedEvent]:
    """Returns the routing result of each event of a line, in order, with the line that a dead letter keeps. A line
    without events has one result.

    If each item of a list is one event, a rejected event keeps only its own item, so that a list of a thousand is not
    kept a thousand times. With any other line it keeps the whole line, because its events share fields. If the copies
    of the line exceed MAX_COPIED_BYTES, the whole line is rejected, with all its events.
    """
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


def _route_events(line: Line, context: IngestContext) -> list[RoutingResult]:
    return [_route(parsed, context) for parsed in read_line(line, context.format, context.defaults.mapping)]


def _route(parsed: ParsedEvent, context: IngestContext) -> RoutingResult:
    match parsed:
        case Event():
            return context.routes.route(parsed, context.defaults)
        case Delivery():
            return context.routes.reroute(parsed)
        case Skipped() | Rejected():
            return parsed


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


def build_batch(batch: Batch, context: IngestContext, start: int = 0) -> tuple[IngestBatch, int]:
    """Parses and routes the lines of a batch from index `start` on, as many as fit into one transaction.

    Returns the group and the number of its lines. Only the last group has the batch's position. After a crash between
    two groups the relay reads lines again, and their delivery ids are duplicates.
    """
    routed = take_until_full(route_line(line, context) for line in islice(batch.lines, start, None))
    is_last = start + len(routed) == len(batch.lines)
    position = batch.position if is_last and batch.position is not START_POSITION else None
    read = sum(map(len, routed))
    group = _ingest_batch(chain.from_iterable(routed), batch.source, context.names, position=position, read=read)
    return group, len(routed)


def build_replay_batch(lines: Sequence[ReplayedLine], source: str, context: IngestContext) -> tuple[IngestBatch, int]:
    """Parses and routes rejected lines and events of one source again, as many as fit into one transaction.

    If one event of a line was rejected, only that event is routed. Returns the group and the number of its lines.
    """
    routed = take_until_full(_route_again(line, context) for line in lines)
    again = [line.n for line in lines[: len(routed)]]
    read = sum(map(len, routed)) - len(again)  # a line that was rejected as a whole counted as one
    group = _ingest_batch(chain.from_iterable(routed), source, context.names, position=None, read=read, again=again)
    return group, len(routed)


def _route_again(replayed: ReplayedLine, context: IngestContext) -> list[RoutedEvent]:
    line, part = replayed.line, replayed.part
    if part == WHOLE_LINE:
        return route_line(line, context)
    results = _route_events(line, context)
    return [(line, part, results[part] if part < len(results) else FEWER_EVENTS)]


def take_until_full(lines: Iterable[list[RoutedEvent]]) -> list[list[RoutedEvent]]:
    """Returns the first lines, as many as one transaction may contain, and at least one if there is any."""
    taken: list[list[RoutedEvent]] = []
    events = size = 0
    for line in lines:
        taken.append(line)
        events += len(line)
        size += sum(map(_size, line))
        if events >= MAX_EVENTS_PER_LINE or size >= MAX_EVENT_BYTES_PER_LINE:
            break
    return taken


def _size(event: RoutedEvent) -> int:
    """Returns the approximate number of bytes that the spool writes."""
    line, _, result = event
    match result:
        case Delivery():
            return len(result.body)
        case Rejected():
            return len(line.data)
        case Skipped():
            return 0


def _ingest_batch(
    events: Iterable[RoutedEvent],
    source: str,
    names: SkipNames,
    *,
    position: Position | None,
    read: int,
    again: Sequence[int] = (),
) -> IngestBatch:
    """Returns the rows of one transaction.

    Args:
        events: the routing results.
        source: the name of the source.
        names: the statuses that have a counter of their own.
        position: the position that the rows cover, or None.
        read: the number of events that count as read.
        again: the numbers of the replayed lines.
    """
    deliveries: list[NewDelivery] = []
    skipped: Counter[str] = Counter()
    rejected: list[RejectedLine] = []
    for line, part, result in events:
        match result:
            case Delivery():
                deliveries.append(NewDelivery(line.number, result))
            case Skipped():
                skipped[names.key(result)] += 1
            case Rejected(reason):
                rejected.append(RejectedLine(line, part, reason))
    return IngestBatch(
        source=source,
        position=position,
        read=read,
        replaced_lines=again,
        deliveries=deliveries,
        skipped=skipped,
        rejected=rejected,
    )
