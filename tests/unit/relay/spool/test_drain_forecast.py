"""The drain forecast: examples, laws, and a comparison with a queue that is stepped through."""

from __future__ import annotations

import math
from collections import deque

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ACME
from contract.spool_stores import OTHER
from hookline.observe.drain import DrainForecast
from hookline.observe.snapshot import (
    AgeGroup,
    LaneStatus,
    ProcessStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    WebhookStatus,
)
from hookline.relay.spool.activity import MinuteActivity
from hookline.relay.spool.drain_forecast import (
    RELAY_DELIVERIES_PER_SECOND,
    DrainLimits,
    Measurement,
    PendingBacklog,
    drain_status,
    forecast,
    measurements,
)

HOUR = 3600.0


def limits(rate: float | None = 10.0, concurrency: int = 16, max_age: float = 72 * HOUR) -> DrainLimits:
    return DrainLimits(rate=rate, concurrency=concurrency, max_age_seconds=max_age)


def backlog(*groups: tuple[int, float, float], starts_in: float = 0.0, last_due_in: float = 0.0) -> PendingBacklog:
    return PendingBacklog(ages=[AgeGroup(*one) for one in groups], starts_in=starts_in, last_due_in=last_due_in)


FAST = Measurement(attempt_seconds=0.1)


def test_the_rate_limit_decides() -> None:
    """600 deliveries at 10 per second take a minute."""
    expected = DrainForecast(seconds=60.0, expiring=0, per_second=10.0)
    assert expected == forecast(backlog((600, 60.0, 0.0)), limits(), FAST)


def test_the_duration_of_an_attempt_decides() -> None:
    """16 attempts at once of 2 s each are 8 per second. If half of them fail, 4 are delivered."""
    slow, failing = Measurement(attempt_seconds=2.0), Measurement(attempt_seconds=2.0, accepted_share=0.5)
    assert 75.0 == forecast(backlog((600, 60.0, 0.0)), limits(), slow).seconds
    assert 150.0 == forecast(backlog((600, 60.0, 0.0)), limits(), failing).seconds


def test_an_open_breaker_and_planned_retries_delay_the_end() -> None:
    """Sending starts when the wait of the breaker is over, and ends no earlier than the latest retry is due."""
    assert 360.0 == forecast(backlog((600, 60.0, 0.0), starts_in=300.0), limits(), FAST).seconds
    assert 900.0 == forecast(backlog((600, 60.0, 0.0), last_due_in=900.0), limits(), FAST).seconds


def test_what_passes_the_limit_of_age() -> None:
    """Of 3,600 deliveries of one moment, an hour before their limit, 10 a minute are sent in time."""
    one = forecast(backlog((3600, HOUR, HOUR)), limits(rate=1 / 6, max_age=2 * HOUR), FAST)
    assert (HOUR, 3000) == (one.seconds, one.expiring)


def test_those_that_are_too_old_take_no_time() -> None:
    """They become dead letters at once, without a turn of the rate limit."""
    one = forecast(backlog((100, 80 * HOUR, 73 * HOUR), (10, HOUR, 0.0)), limits(), FAST)
    assert (1.0, 100) == (one.seconds, one.expiring)


def test_without_a_forecast() -> None:
    """A paused webhook sends nothing; its events do not age. Without limit and measurement there is no forecast."""
    held = PendingBacklog(ages=[AgeGroup(5, 99 * HOUR, 0.0)], held="paused")
    assert DrainForecast(seconds=None, expiring=0, waiting=5, reason="paused") == forecast(held, limits(), FAST)
    unknown = forecast(backlog((5, 1.0, 0.0)), limits(rate=None), None)
    assert (None, None, 5, "no attempt was measured") == (
        unknown.seconds, unknown.expiring, unknown.waiting, unknown.reason,
    )  # fmt: skip
    assert 0.5 == forecast(backlog((5, 1.0, 0.0)), limits(), None).seconds
    assert DrainForecast() == forecast(backlog(), limits(), None)


def falling(parts: list[tuple[int, float, float]]) -> list[AgeGroup]:
    """Groups whose ages fall from one to the next: each has a number, a spread, and a distance to the next one."""
    groups, age = [], 0.0
    for number, spread, distance in parts:
        groups.append(AgeGroup(number, age + distance + spread, age + distance))
        age += distance + spread
    return groups[::-1]


BACKLOGS = st.lists(
    st.tuples(st.integers(1, 300), st.floats(0, 2000), st.floats(0, 500)), min_size=1, max_size=4
).map(falling)
RATES = st.floats(0.05, 500.0)
FACTORS = st.floats(1.0, 10.0)
MAX_AGES = st.floats(1.0, 10_000.0)
# A machine with other work is no reason to fail.
STARTS = st.floats(0.0, 3000.0)


@given(BACKLOGS, RATES, FACTORS, MAX_AGES, STARTS)
def test_a_higher_rate_never_takes_longer(
    ages: list[AgeGroup], rate: float, factor: float, max_age: float, start: float
) -> None:
    """More attempts per second give no longer time, and no more expiring deliveries."""
    pending = PendingBacklog(ages=ages, starts_in=start)
    slow = forecast(pending, limits(rate=rate, max_age=max_age), None)
    fast = forecast(pending, limits(rate=rate * factor, max_age=max_age), None)
    assert _seconds(fast) <= _seconds(slow) * (1 + 1e-9) + 1e-6
    assert (fast.expiring or 0) <= (slow.expiring or 0) + 1


@given(BACKLOGS, st.tuples(st.integers(1, 50), st.integers(0, 50)), st.floats(0.01, 30.0), FACTORS, MAX_AGES)
def test_more_concurrency_and_faster_endpoints_never_take_longer(
    ages: list[AgeGroup], attempts: tuple[int, int], seconds: float, factor: float, max_age: float
) -> None:
    """Neither more attempts at once nor shorter ones give a longer time, or more expiring deliveries."""
    pending, (concurrency, more) = PendingBacklog(ages=ages), attempts
    slow = forecast(pending, limits(None, concurrency, max_age), Measurement(attempt_seconds=seconds))
    wide = forecast(pending, limits(None, concurrency + more, max_age), Measurement(attempt_seconds=seconds))
    fast = forecast(pending, limits(None, concurrency, max_age), Measurement(attempt_seconds=seconds / factor))
    for better in (wide, fast):
        assert _seconds(better) <= _seconds(slow) * (1 + 1e-9) + 1e-6
        assert (better.expiring or 0) <= (slow.expiring or 0) + 1


@given(BACKLOGS, RATES, FACTORS, MAX_AGES, STARTS)
def test_a_higher_limit_of_age_never_expires_more(
    ages: list[AgeGroup], rate: float, factor: float, max_age: float, start: float
) -> None:
    """A longer `maxAge` gives no more expiring deliveries, and never more than there are."""
    pending = PendingBacklog(ages=ages, starts_in=start)
    strict = forecast(pending, limits(rate=rate, max_age=max_age), None)
    lenient = forecast(pending, limits(rate=rate, max_age=max_age * factor), None)
    assert (lenient.expiring or 0) <= (strict.expiring or 0) + 1
    assert 0 <= (strict.expiring or 0) <= pending.deliveries


@given(BACKLOGS, RATES, MAX_AGES, STARTS)
def test_a_queue_that_is_stepped_through(ages: list[AgeGroup], rate: float, max_age: float, start: float) -> None:
    """A queue with one delivery at a time ends at the same time, and loses as many, within one turn of each group."""
    one = forecast(PendingBacklog(ages=ages, starts_in=start), limits(rate=rate, max_age=max_age), None)
    seconds, expired = _stepped(ages, rate, max_age, start)
    assert abs(_seconds(one) - seconds) <= (len(ages) + 1) / rate + 1e-6 * seconds
    assert abs((one.expiring or 0) - expired) <= 2 * len(ages) + 1


def _stepped(ages: list[AgeGroup], rate: float, max_age: float, start: float) -> tuple[float, int]:
    queue = deque(
        group.oldest - (group.oldest - group.youngest) * (n + 0.5) / group.deliveries
        for group in ages
        for n in range(group.deliveries)
    )
    time, expired = start, 0
    while queue:
        if queue.popleft() + time >= max_age:
            expired += 1
        else:
            time += 1 / rate
    return time, expired


def _seconds(one: DrainForecast) -> float:
    assert one.seconds is not None
    return one.seconds


def minute(number: int, accepted: int, failed: int = 0, busy: float = 1.0) -> MinuteActivity:
    return MinuteActivity(number, ACME, accepted, failed, 0.1, 0.1, 0, busy)


def test_only_minutes_of_a_working_endpoint_are_measured() -> None:
    """An outage does not count, nor do minutes before the latest ten with accepted attempts."""
    rows = [*(minute(n, 10, 10, busy=2.0) for n in range(11, 21)), minute(1, 1, busy=600.0), minute(30, 0, 50, 500.0)]
    assert {ACME: Measurement(attempt_seconds=0.1, accepted_share=0.5)} == measurements(rows)
    assert {} == measurements([minute(1, 0, 5)])


def webhook(address: object = ACME, pending: int = 600, **facts: object) -> WebhookStatus:
    ages = [AgeGroup(pending, 60.0, 0.0)] if pending else []
    return WebhookStatus(webhook=str(address), pending=pending, ages=ages, **facts)  # type: ignore[arg-type]


def spool(*webhooks: WebhookStatus) -> SpoolStatus:
    return SpoolStatus(at=1000.0, tally={"pending": sum(one.pending for one in webhooks)}, webhooks=webhooks)


def relay(*lanes: LaneStatus) -> RelayStatus:
    return RelayStatus(version="1", process=7, started=0.0, at=1000.0, lanes=lanes)


def lane(address: object = ACME, phase: str = "closed", **facts: object) -> LaneStatus:
    return LaneStatus(webhook=str(address), phase=phase, concurrency=16, rate=10.0, max_age=HOUR, **facts)  # type: ignore[arg-type]


NONE = SpoolProcesses()


def test_webhooks_side_by_side() -> None:
    """The whole spool takes as long as its slowest webhook. A paused one has no forecast."""
    other = lane(OTHER, "open", until=1100.0)
    held = webhook("acme/held", 7, paused=900.0)
    status = drain_status(spool(webhook(), webhook(OTHER), held), relay(lane(), other), NONE, {}, [])
    assert [60.0, 160.0, None] == [one.seconds for one in status.webhooks.values()]
    assert (160.0, 7, "paused") == (status.whole.seconds, status.whole.waiting, status.whole.reason)


def test_a_relay_has_a_rate_of_its_own() -> None:
    """However fast the endpoints are, a process needs its time for each delivery; two processes need half of it."""
    number = 100 * RELAY_DELIVERIES_PER_SECOND
    quick = msgspec.structs.replace(lane(), rate=math.inf)
    one = drain_status(spool(webhook(pending=number)), relay(quick), NONE, {}, [])
    assert 100.0 == one.whole.seconds
    two = SpoolProcesses(slots=2, processes=[ProcessStatus(slots=[n], status=relay(quick)) for n in range(2)])
    assert 50.0 == drain_status(spool(webhook(pending=number)), None, two, {}, []).whole.seconds


@pytest.mark.parametrize(
    ("applied", "reason"), [(None, "limits not known"), ({}, "not applied"), ({str(ACME): limits()}, None)]
)
def test_limits_without_a_relay(applied: dict[str, DrainLimits] | None, reason: str | None) -> None:
    """They are those of the applied state, and the wait of the endpoint is the stored one."""
    status = drain_status(spool(webhook(not_before=1040.0)), None, NONE, applied, [])
    assert (reason, 100.0 if reason is None else None) == (status.whole.reason, status.whole.seconds)


def test_webhooks_without_rows_of_their_own_are_measured_together() -> None:
    """Beyond the webhooks with the most attempts, the sum of the rest is the measurement."""
    rest = MinuteActivity(1, None, 10, 0, 0.1, 0.1, 0, 20.0)
    unlimited = {str(ACME): limits(rate=None)}
    assert 75.0 == drain_status(spool(webhook()), None, NONE, unlimited, [rest]).whole.seconds
