"""Who owns what in a spool: the process that delivers to each webhook, and the share of each process."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from hookline.observe.snapshot import (
    LagStatus,
    LaneStatus,
    ProcessStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
)


class Share(NamedTuple):
    """The pending deliveries and dead letters of some slots, and the age of the oldest pending delivery."""

    pending: int
    oldest: float | None
    dead: int


def share_of(spool: SpoolStatus, slots: Collection[int]) -> Share:
    chosen = [one for one in spool.webhooks if one.slot in set(slots)]
    oldest = max((one.oldest for one in chosen if one.oldest is not None), default=None)
    return Share(sum(one.pending for one in chosen), oldest, sum(one.dead for one in chosen))


def owners_of(spool: SpoolStatus, processes: SpoolProcesses) -> dict[str, ProcessStatus]:
    """The owner of each webhook of a shared spool. It may be gone. A webhook without an owner is left out.

    A webhook that the spool does not know yet belongs to the process that reports a lane for it.
    """
    if not processes.shared:
        return {}
    by_slot = {slot: one for one in processes.processes for slot in one.slots}
    known = {one.webhook: by_slot.get(one.slot) for one in spool.webhooks if one.slot is not None}
    reported = {lane.webhook: process for process, status in reporting(processes) for lane in status.lanes}
    return {webhook: owner for webhook, owner in (reported | known).items() if owner is not None}


def reporting(processes: SpoolProcesses) -> list[tuple[ProcessStatus, RelayStatus]]:
    """The living processes that report a status."""
    return [(one, one.status) for one in processes.processes if one.status is not None and not one.gone]


def lanes_of(spool: SpoolStatus, relay: RelayStatus | None, processes: SpoolProcesses) -> dict[str, LaneStatus]:
    """The lane of each webhook, as its owner reports it.

    Args:
        spool: The webhooks and their slots.
        relay: A relay whose lanes are known at first hand, if any.
        processes: The processes of a shared spool. An older report of a former owner does not count.
    """
    owners = owners_of(spool, processes)
    lanes = {
        lane.webhook: lane
        for process, status in reporting(processes)
        for lane in status.lanes
        if owners.get(lane.webhook, process) is process
    }
    return lanes | {lane.webhook: lane for lane in (() if relay is None else relay.lanes)}


def lane_of(webhook: str, processes: SpoolProcesses) -> LaneStatus | None:
    """The lane of one webhook. Right after a change of its owner, it may be that of the former one."""
    relays = [status for _, status in reporting(processes)]
    return next((lane for status in relays for lane in status.lanes if lane.webhook == webhook), None)


def lags_of(relay: RelayStatus | None, processes: SpoolProcesses) -> dict[tuple[str, str], LagStatus]:
    """The lag of each source that is read now, by the name of its reader (Checkpoint.reader) and its own."""
    lags = {(process.name, lag.name): lag for process, status in reporting(processes) for lag in status.lags}
    if processes.shared or relay is None:
        return lags
    return {("", lag.name): lag for lag in relay.lags}


def slot_ranges(slots: Sequence[int]) -> str:
    """``0-10, 12``. `slots` are in order."""
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in map(_ends, _runs(slots)))


def _runs(slots: Sequence[int]) -> Iterable[list[int]]:
    for _, run in groupby(enumerate(slots), lambda numbered: numbered[1] - numbered[0]):
        yield [slot for _, slot in run]


def _ends(run: Sequence[int]) -> tuple[int, int]:
    return run[0], run[-1]
