"""How long a backlog takes at the present limits, and how many of its deliveries become too old before.

The forecast assumes that no new events come, that the relay sends all the time from now on, and that the endpoint
answers as in the latest minutes in which it accepted attempts: as fast, with as many attempts for a delivery, and
without another outage. An open circuit breaker is assumed to close when its wait is over. Deliveries are sent in the
order of reading. Ages are spread evenly within a group (backlog_ages.py).

A webhook sends as many attempts per second as its rate limit permits, and as its concurrency permits at the measured
duration of an attempt. Webhooks do not delay each other, except that a relay has a rate of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from hookline.model import Address, DeliveryPolicy, Webhook
from hookline.observe.drain import DrainForecast, DrainStatus
from hookline.observe.snapshot import (
    AgeGroup,
    LaneStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    WebhookStatus,
)
from hookline.observe.spool_owners import lanes_of, reporting
from hookline.relay.spool.activity import MinuteActivity

__all__ = [
    "DrainForecast",
    "DrainLimits",
    "Measurement",
    "PendingBacklog",
    "drain_status",
    "forecast",
    "measurements",
    "planned_drain",
]

MEASURED_MINUTES: Final = 10  # with accepted attempts, from which durations and the share of accepted ones are taken
RECENT_MINUTES: Final = 60  # of the ring that a relay reads for a forecast, and a command reads first
# One process sends at least this many on two cores (docs/performance.md).
RELAY_DELIVERIES_PER_SECOND: Final = 5000


class DrainLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one webhook. `rate` is in attempts per second; None: no limit."""

    concurrency: int
    rate: float | None
    max_age_seconds: float

    @classmethod
    def of_policy(cls, policy: DeliveryPolicy) -> DrainLimits:
        rate = policy.rate_limit
        return cls(
            concurrency=policy.concurrency,
            rate=None if rate is None else rate.count / rate.per_seconds,
            max_age_seconds=policy.retry.max_age.total_seconds(),
        )


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The mean duration of an attempt, and the share of the attempts that were accepted (above 0)."""

    attempt_seconds: float
    accepted_share: float = 1.0


class PendingBacklog(msgspec.Struct, frozen=True, kw_only=True):
    """The pending deliveries of one webhook.

    Attributes:
        ages: Their groups, the oldest first.
        starts_in: The seconds until the first attempt may start: the wait of an open circuit breaker.
        last_due_in: The seconds until the latest planned retry.
        held: The reason why nothing is sent: ``paused``, ``disabled``, ``gone`` or ``not applied``.
    """

    ages: Sequence[AgeGroup]
    starts_in: float = 0.0
    last_due_in: float = 0.0
    held: str | None = None

    @property
    def deliveries(self) -> int:
        return sum(group.deliveries for group in self.ages)


def forecast(pending: PendingBacklog, limits: DrainLimits, measured: Measurement | None) -> DrainForecast:
    """The forecast for one webhook.

    A higher rate, a higher concurrency and a shorter attempt never give a longer time or more expiring deliveries.
    """
    if not pending.deliveries:
        return DrainForecast()
    if pending.held is not None:  # ages stand still while paused or disabled
        return DrainForecast(seconds=None, waiting=pending.deliveries, reason=pending.held)
    rate = delivery_rate(limits, measured)
    if rate is None:
        return DrainForecast(
            seconds=None, expiring=None, waiting=pending.deliveries, reason="no attempt was measured"
        )
    walk = _Walk(max(0.0, pending.starts_in), rate, limits.max_age_seconds)
    for group in pending.ages:
        walk.through(group)
    return DrainForecast(
        seconds=max(walk.time, pending.last_due_in),
        expiring=min(pending.deliveries, math.floor(walk.expired + 0.5)),
        per_second=None if math.isinf(rate) else rate,
    )


def delivery_rate(limits: DrainLimits, measured: Measurement | None) -> float | None:
    """Deliveries per second that the limits permit; None if it is not known."""
    if measured is None:
        return limits.rate
    by_concurrency = limits.concurrency / measured.attempt_seconds if measured.attempt_seconds > 0.0 else math.inf
    return min(by_concurrency, math.inf if limits.rate is None else limits.rate) * measured.accepted_share


class _Walk:
    """Sends groups one after the other, as a fluid. `time` is in seconds from now.

    A delivery that is too old when its turn comes takes no time. While more deliveries become too old than can be
    sent, those that are sent are just below the limit of age.
    """

    def __init__(self, time: float, rate: float, max_age: float) -> None:
        self.time = time
        self.expired = 0.0
        self._rate = rate
        self._max_age = max_age

    def through(self, group: AgeGroup) -> None:
        number, spread = float(group.deliveries), max(0.0, group.oldest - group.youngest)
        over = group.oldest + self.time - self._max_age
        if over > 0.0:
            gone = number if over >= spread else number * over / spread
            self.expired += gone
            number -= gone
            spread = max(0.0, spread - over)
            if number <= 0.0:
                return
        room = max(0.0, -over)  # until the first delivery of the rest is too old
        growth = 1.0 / self._rate - spread / number  # of the age of the next delivery, for each one that is sent
        sent = min(number, room / growth) if growth > 0.0 else number
        self.time += sent / self._rate
        if sent < number:
            rest_spread = spread * (number - sent) / number
            self.time += rest_spread
            self.expired += number - sent - self._rate * rest_spread


def measurements(activity: Iterable[MinuteActivity]) -> dict[Address | None, Measurement]:
    """The measurement of each webhook in its latest MEASURED_MINUTES minutes with accepted attempts.

    None has that of the webhooks without rows of their own. Minutes without an accepted attempt do not count: the
    forecast assumes an endpoint that works.
    """
    minutes: dict[Address | None, list[MinuteActivity]] = {}
    for one in sorted(activity, key=lambda one: -one.minute):
        kept = minutes.setdefault(one.address, [])
        if one.accepted and len(kept) < MEASURED_MINUTES:
            kept.append(one)
    return {address: _measured(kept) for address, kept in minutes.items() if kept}


def _measured(minutes: Sequence[MinuteActivity]) -> Measurement:
    attempts = sum(one.attempts for one in minutes)
    return Measurement(
        attempt_seconds=sum(one.busy_seconds for one in minutes) / attempts,
        accepted_share=sum(one.accepted for one in minutes) / attempts,
    )


def drain_status(
    spool: SpoolStatus,
    relay: RelayStatus | None,
    processes: SpoolProcesses,
    applied: Mapping[str, DrainLimits] | None,
    activity: Iterable[MinuteActivity],
) -> DrainStatus:
    """The forecasts for a spool.

    Args:
        spool: Its status.
        relay: The relay that delivers, if any. The limits of lanes are those in effect.
        processes: The processes of a shared spool.
        applied: The limits of the applied webhooks without a lane. None: the state was not read.
        activity: Rows of the ring of minutes.
    """
    lanes = lanes_of(spool, relay, processes)
    known = {str(address): one for address, one in measurements(activity).items()}
    rest = known.get(str(None))
    found = {
        one.webhook: _webhook_forecast(one, lanes.get(one.webhook), applied, known.get(one.webhook, rest), spool.at)
        for one in spool.webhooks
        if one.pending
    }
    sending = [one for one in found.values() if one.seconds is not None]
    waiting = sum(one.waiting for one in found.values())
    own = (spool.tally.get("pending", 0) - waiting) / (
        RELAY_DELIVERIES_PER_SECOND * max(1, len(reporting(processes)))
    )
    whole = DrainForecast(
        seconds=None if found and not sending else max([0.0, *(one.seconds or 0.0 for one in sending), own]),
        expiring=sum(one.expiring or 0 for one in found.values()),
        waiting=waiting,
        reason=", ".join(dict.fromkeys(one.reason for one in found.values() if one.reason is not None)) or None,
    )
    return DrainStatus(whole=whole, webhooks=found)


def _webhook_forecast(
    one: WebhookStatus,
    lane: LaneStatus | None,
    applied: Mapping[str, DrainLimits] | None,
    measured: Measurement | None,
    now: float,
) -> DrainForecast:
    backlog = backlog_of(one, lane, now)
    limits = None if applied is None else applied.get(one.webhook)
    if lane is not None and lane.concurrency:
        limits = DrainLimits(concurrency=lane.concurrency, rate=lane.rate, max_age_seconds=lane.max_age)
    if limits is not None:
        return forecast(backlog, limits, measured)
    reason = backlog.held or ("limits not known" if applied is None else "not applied")
    expiring = None if backlog.held is None else 0
    return DrainForecast(seconds=None, expiring=expiring, waiting=one.pending, reason=reason)


def backlog_of(one: WebhookStatus, lane: LaneStatus | None, now: float) -> PendingBacklog:
    """The backlog of a webhook, with the state of its endpoint."""
    until = one.not_before if lane is None else lane.until if lane.phase == "open" else None
    return PendingBacklog(
        ages=one.ages,
        starts_in=0.0 if until is None else max(0.0, until - now),
        last_due_in=0.0 if one.last_due is None else max(0.0, one.last_due - now),
        held=_held(one, lane),
    )


def planned_drain(
    one: WebhookStatus, webhook: Webhook, measured: Measurement | None, *, now: float, same_url: bool
) -> DrainForecast:
    """The forecast after a change of the webhook's configuration, which closes the circuit breaker: only the wait
    that the endpoint asked for remains, if the URL does. A new URL is assumed to be as fast."""
    changed = msgspec.structs.replace(
        one,
        disabled=not webhook.enabled,
        gone_reason=None,
        not_before=one.not_before if same_url else None,
    )
    return forecast(backlog_of(changed, None, now), DrainLimits.of_policy(webhook.delivery), measured)


def _held(one: WebhookStatus, lane: LaneStatus | None) -> str | None:
    if one.paused is not None:
        return "paused"
    if one.disabled or (lane is not None and lane.disabled):
        return "disabled"
    if (lane is not None and lane.phase == "gone") or (lane is None and one.gone_reason is not None):
        return "gone"
    return None
