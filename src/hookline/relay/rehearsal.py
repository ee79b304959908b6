"""A dry run: each event's fate, by the same reading and routing as a real one; nothing is sent, nothing is moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from hookline.relay.fates import Delivery, Fate, Rejected, Skipped
from hookline.relay.intake import Reading, fated, until_full
from hookline.relay.naming import Names
from hookline.relay.sources.port import LineSource
from hookline.relay.spool.seen import SeenIds


class Rehearsed(msgspec.Struct, frozen=True):
    """One event: where it was read, what would become of it, and whether it is known already."""

    source: str
    line: int
    fate: Fate
    duplicate: bool


def rehearse(
    source: LineSource, reading: Reading, known: Callable[[Sequence[bytes]], set[bytes]]
) -> Iterator[Rehearsed]:
    """Read to the end of all sources. `known` tells which of some delivery ids would be duplicates."""
    with SeenIds() as seen:
        end = False
        while not end:
            batch = source.read()
            end = batch.end
            start = 0
            while start < len(batch.lines):
                found = until_full(fated(line, reading) for line in islice(batch.lines, start, None))
                start += len(found)
                fates = [(line.number, fate) for each in found for line, _, fate in each]
                before = known([fate.id for _, fate in fates if isinstance(fate, Delivery)])
                for number, fate in fates:
                    duplicate = isinstance(fate, Delivery) and (fate.id in before or not seen.add(fate.id))
                    yield Rehearsed(batch.source, number, fate, duplicate)


def tally_of(rehearsed: Iterable[Rehearsed], tell: Callable[[Rehearsed], None]) -> dict[str, int]:
    """Hand each event on, and count them as a spool would: what would be sent is ``pending``."""
    tally: Counter[str] = Counter(pending=0)
    names = Names()
    for one in rehearsed:
        tell(one)
        tally["read"] += 1
        match one.fate:
            case Delivery():
                tally["duplicates" if one.duplicate else "pending"] += 1
            case Skipped() as skipped:
                tally[f"skipped:{names.key(skipped)}"] += 1
            case Rejected():
                tally["rejected"] += 1
    return dict(tally)
