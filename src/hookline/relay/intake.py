"""A batch of lines becomes a group of fates: what the spool makes durable in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from hookline.relay.fates import Delivery, Fate, Line, Rejected, Skipped
from hookline.relay.feedback import Event
from hookline.relay.formats.port import Reading as Said
from hookline.relay.formats.reading import read_line
from hookline.relay.naming import Names
from hookline.relay.routing import Defaults, Routes
from hookline.relay.sources.port import NOWHERE, Batch, Position
from hookline.relay.spool.port import Intake, Refused, Rereading, Taken


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How lines are read and routed at the moment. Replaced as a whole when the state changes.

    `names` remembers for as long as it lives which statuses have a counter of their own: hand it on.
    """

    routes: Routes
    defaults: Defaults
    format: str = "auto"
    names: Names = msgspec.field(default_factory=Names)


def fates_of(line: Line, reading: Reading) -> list[Fate]:
    """What becomes of each event of a line, in order; of a line without any, one fate."""
    found = read_line(line, reading.format, reading.defaults.hints)
    return [_fate_of(one, reading) for one in found]


def _fate_of(one: Said, reading: Reading) -> Fate:
    match one:
        case Event():
            return reading.routes.route(one, reading.defaults)
        case Delivery():
            return reading.routes.again(one)
        case Skipped() | Rejected():
            return one


def take(batch: Batch, reading: Reading) -> Intake:
    """Read and route every line of a batch."""
    fates = [kept for line in batch.lines for kept in _kept(line, fates_of(line, reading))]
    position = None if batch.position is NOWHERE else batch.position
    return _intake(fates, batch.source, reading.names, position=position, read=len(fates), again=())


def take_again(lines: Sequence[Rereading], source: str, reading: Reading) -> Intake:
    """Read and route rejected events of one source once more; of a line with several, only the rejected ones."""
    fates = []
    for one in lines:
        found = fates_of(one.line, reading)
        fate = found[one.part] if one.part < len(found) else Rejected("the line holds fewer events than before")
        fates.append((one.line, one.part, fate))
    return _intake(fates, source, reading.names, position=None, read=0, again=[one.n for one in lines])


def _kept(line: Line, fates: Sequence[Fate]) -> Iterator[tuple[Line, int, Fate]]:
    """Each fate with what a dead letter keeps of the line, and the part of that which it is about.

    Of a list that holds one event each, a rejected event keeps its own item only: a batch of a thousand events
    without an organization must not be kept a thousand times.
    """
    items: object = None
    if len(fates) > 1 and any(isinstance(fate, Rejected) for fate in fates):
        items = msgspec.json.decode(line.data) if line.data.lstrip().startswith(b"[") else None
    for part, fate in enumerate(fates):
        if isinstance(fate, Rejected) and isinstance(items, list) and len(items) == len(fates):
            item = msgspec.json.encode(items[part])
            yield Line(line.number, item, len(item)), 0, fate
        else:
            yield line, part, fate


def _intake(
    fates: Iterable[tuple[Line, int, Fate]],
    source: str,
    names: Names,
    *,
    position: Position | None,
    read: int,
    again: Sequence[int],
) -> Intake:
    deliveries: list[Taken] = []
    skipped: Counter[str] = Counter()
    rejected: list[Refused] = []
    for line, part, fate in fates:
        match fate:
            case Delivery():
                deliveries.append(Taken(line.number, fate))
            case Skipped():
                skipped[names.key(fate)] += 1
            case Rejected(reason):
                rejected.append(Refused(line, part, reason))
    return Intake(
        source=source,
        position=position,
        read=read,
        again=again,
        deliveries=deliveries,
        skipped=skipped,
        rejected=rejected,
    )
