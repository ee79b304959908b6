"""A batch of lines becomes groups of fates: each is what the spool makes durable in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Final

import msgspec

from hookline.relay.delivery_record import WHOLE_LINE, Delivery, Line, Rejected, RoutingResult, Skipped
from hookline.relay.event import Event
from hookline.relay.formats.format import MAX_EVENT_BYTES_PER_LINE, MAX_EVENTS_PER_LINE
from hookline.relay.formats.format import ParsedEvent as Said
from hookline.relay.formats.line_reader import FEWER_EVENTS, read_line
from hookline.relay.routing import Defaults, Routes, SkipNames
from hookline.relay.sources.source import START_POSITION, Batch, Position
from hookline.relay.spool.spool import IngestBatch, NewDelivery, RejectedLine, ReplayedLine

# How many bytes the copies of a line may take that are kept with its rejected events.
MAX_COPIED_BYTES: Final = 64 * 1024

# A fate, what a dead letter would keep of its line, and the event in that which it is about (or WHOLE).
RoutedEvent = tuple[Line, int, RoutingResult]


class IngestContext(msgspec.Struct, frozen=True, kw_only=True):
    """How lines are read and routed at the moment. Replaced as a whole when the state changes.

    `names` remembers for as long as it lives which statuses have a counter of their own: hand it on.
    """

    routes: Routes
    defaults: Defaults
    format: str = "auto"
    names: SkipNames = msgspec.field(default_factory=SkipNames)


def route_line(line: Line, reading: IngestContext) -> list[RoutingResult]:
    """What becomes of each event of a line, in order; of a line without any, one fate.

    A line that would have to be kept with too many rejected events is rejected as a whole, its other events with it.
    """
    return [fate for _, _, fate in route_event(line, reading)]


def route_event(line: Line, reading: IngestContext) -> list[RoutedEvent]:
    """The same, each fate with what a dead letter keeps.

    Of a list that holds one event each, a rejected event keeps its own item only: a batch of a thousand events
    without an organization must not be kept a thousand times. Of any other line the whole line, which tells things
    that all of its events share; so only as long as that is little.
    """
    fates = _fates(line, reading)
    if len(fates) == 1:
        return [(line, WHOLE_LINE, fates[0])]
    refused = [fate for fate in fates if isinstance(fate, Rejected)]
    if refused and (items := _items(line, len(fates))):
        return [
            (Line(line.number, item, len(item)), WHOLE_LINE, fate)
            if isinstance(fate, Rejected)
            else (line, part, fate)
            for part, (item, fate) in enumerate(zip(items, fates, strict=True))
        ]
    if len(refused) * line.length > MAX_COPIED_BYTES:
        return [(line, WHOLE_LINE, _all_of(fates, refused))]
    return [(line, part, fate) for part, fate in enumerate(fates)]


def _fates(line: Line, reading: IngestContext) -> list[RoutingResult]:
    return [_fate_of(one, reading) for one in read_line(line, reading.format, reading.defaults.mapping)]


def _fate_of(one: Said, reading: IngestContext) -> RoutingResult:
    match one:
        case Event():
            return reading.routes.route(one, reading.defaults)
        case Delivery():
            return reading.routes.again(one)
        case Skipped() | Rejected():
            return one


def _items(line: Line, events: int) -> list[bytes] | None:
    """The items of a list that holds so many events, one each."""
    items = msgspec.json.decode(line.data) if line.data.lstrip().startswith(b"[") else None
    return [msgspec.json.encode(item) for item in items] if isinstance(items, list) and len(items) == events else None


def _all_of(fates: Sequence[RoutingResult], refused: Sequence[Rejected]) -> Rejected:
    return Rejected(
        f"{refused[0].reason} ({len(refused):,} of the line's {len(fates):,} events are rejected, too many to be "
        "kept one by one, so all of it is)"
    )


def build_batch(batch: Batch, reading: IngestContext, start: int = 0) -> tuple[IngestBatch, int]:
    """Read and route the lines of a batch from the one with the index `start` on, as many as fit into a transaction.

    Returns also how many those were. The batch's position is in the last group only, so what is read again after a
    crash between two groups is known by its ids.
    """
    found = take_until_full(route_event(line, reading) for line in islice(batch.lines, start, None))
    last = start + len(found) == len(batch.lines)
    position = batch.position if last and batch.position is not START_POSITION else None
    read = sum(map(len, found))
    return _intake(chain.from_iterable(found), batch.source, reading.names, position=position, read=read), len(found)


def build_replay_batch(lines: Sequence[ReplayedLine], source: str, reading: IngestContext) -> tuple[IngestBatch, int]:
    """Read and route rejected lines and events of one source once more, as many as fit into a transaction.

    Of a line of which one event was rejected, only that one. Returns also how many those were.
    """
    found = take_until_full(_fated_again(one, reading) for one in lines)
    again = [one.n for one in lines[: len(found)]]
    read = sum(map(len, found)) - len(again)  # a line that was rejected as a whole counted as one
    intake = _intake(chain.from_iterable(found), source, reading.names, position=None, read=read, again=again)
    return intake, len(found)


def _fated_again(one: ReplayedLine, reading: IngestContext) -> list[RoutedEvent]:
    if one.part == WHOLE_LINE:
        return route_event(one.line, reading)
    fates = _fates(one.line, reading)
    return [(one.line, one.part, fates[one.part] if one.part < len(fates) else FEWER_EVENTS)]


def take_until_full(found: Iterable[list[RoutedEvent]]) -> list[list[RoutedEvent]]:
    """From the beginning, as many lines as one transaction may hold; at least one, where there is one."""
    taken: list[list[RoutedEvent]] = []
    events = size = 0
    for one in found:
        taken.append(one)
        events += len(one)
        size += sum(map(_size, one))
        if events >= MAX_EVENTS_PER_LINE or size >= MAX_EVENT_BYTES_PER_LINE:
            break
    return taken


def _size(one: RoutedEvent) -> int:
    """About how many bytes are written."""
    line, _, fate = one
    match fate:
        case Delivery():
            return len(fate.body)
        case Rejected():
            return len(line.data)
        case Skipped():
            return 0


def _intake(
    fates: Iterable[RoutedEvent],
    source: str,
    names: SkipNames,
    *,
    position: Position | None,
    read: int,
    again: Sequence[int] = (),
) -> IngestBatch:
    deliveries: list[NewDelivery] = []
    skipped: Counter[str] = Counter()
    rejected: list[RejectedLine] = []
    for line, part, fate in fates:
        match fate:
            case Delivery():
                deliveries.append(NewDelivery(line.number, fate))
            case Skipped():
                skipped[names.key(fate)] += 1
            case Rejected(reason):
                rejected.append(RejectedLine(line, part, reason))
    return IngestBatch(
        source=source,
        position=position,
        read=read,
        again=again,
        deliveries=deliveries,
        skipped=skipped,
        rejected=rejected,
    )
