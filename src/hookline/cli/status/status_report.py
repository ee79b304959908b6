"""Reads everything that `status` shows: the spool, its processes, recent activity, and the drain forecast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hookline.errors import HooklineError
from hookline.observe.drain import NO_DRAIN, DrainStatus
from hookline.observe.snapshot import RelayStatus, SpoolProcesses, SpoolStatus
from hookline.observe.spool_owners import lanes_of
from hookline.relay.spool.activity import MinuteActivity, minute_of, oldest_minute
from hookline.relay.spool.admin import SpoolStatistics
from hookline.relay.spool.drain_forecast import RECENT_MINUTES, DrainLimits, drain_status, measurements
from hookline.state.factory import open_state

MAX_HOUR_ROWS: Final = 5000  # of the last hour, above which a forecast does not look further back


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """A spool and its processes at one moment.

    `relay` is the status of the one process of a spool that is not shared, and `holder` its name. `activity` has at
    least the last hour.
    """

    spool: SpoolStatus
    holder: str | None
    relay: RelayStatus | None
    processes: SpoolProcesses
    drain: DrainStatus
    activity: Sequence[MinuteActivity]


def read_report(
    statistics: SpoolStatistics, *, applied: Callable[[], Mapping[str, DrainLimits] | None], now: float
) -> StatusReport:
    """The report. Only reads. Raises SpoolUnusable, and SpoolStalled while a database is away.

    Args:
        statistics: Those of the spool.
        applied: Returns the limits of the applied webhooks, for example `read_limits`. Called only if a webhook with
            pending deliveries has no lane. Without limits, such a webhook has no drain forecast.
        now: The time.
    """
    spool, processes = statistics.spool_status(now=now), statistics.processes()
    holder, relay = processes.relay
    activity = recent_activity(statistics, now, _waiting(spool))
    drain = _drain(spool, relay, processes, applied, activity)
    return StatusReport(spool=spool, holder=holder, relay=relay, processes=processes, drain=drain, activity=activity)


def read_drain(
    statistics: SpoolStatistics,
    spool: SpoolStatus,
    relay: RelayStatus | None,
    processes: SpoolProcesses,
    *,
    applied: Callable[[], Mapping[str, DrainLimits] | None],
) -> DrainStatus:
    """The forecasts for a status that was read before; `applied` is that of `read_report`. Raises SpoolUnusable."""
    return _drain(spool, relay, processes, applied, recent_activity(statistics, spool.at, _waiting(spool)))


def _waiting(spool: SpoolStatus) -> set[str]:
    return {one.webhook for one in spool.webhooks if one.pending}


def _drain(
    spool: SpoolStatus,
    relay: RelayStatus | None,
    processes: SpoolProcesses,
    applied: Callable[[], Mapping[str, DrainLimits] | None],
    activity: Sequence[MinuteActivity],
) -> DrainStatus:
    waiting = _waiting(spool)
    if not waiting:
        return NO_DRAIN
    limits = applied() if waiting - lanes_of(spool, relay, processes).keys() else {}
    return drain_status(spool, relay, processes, limits, activity)


def read_limits(state: str) -> Mapping[str, DrainLimits] | None:
    """The limits of the applied webhooks; None if the state does not exist or cannot be read."""
    try:
        snapshot = open_state(state).read()
    except (HooklineError, OSError):
        return None
    if snapshot.lineage is None:
        return None
    return {str(address): DrainLimits.of_policy(one.webhook.delivery) for address, one in snapshot.webhooks.items()}


def recent_activity(statistics: SpoolStatistics, now: float, webhooks: set[str]) -> Sequence[MinuteActivity]:
    """The activity of the last hour, or of the whole day if one of the webhooks was not measured in this hour. With
    many active webhooks, a day takes too much time and memory."""
    minute = minute_of(now)
    recent = statistics.activity(minute - RECENT_MINUTES)
    if len(recent) > MAX_HOUR_ROWS or webhooks <= {str(address) for address in measurements(recent)}:
        return recent
    return statistics.activity(oldest_minute(minute))
