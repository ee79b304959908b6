"""The circuit breaker: when attempts may start, and how many at once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hookline.relay.delivery.circuit_breaker as module
from hookline.relay.delivery.circuit_breaker import TRANSITIONS, BreakerEvent, BreakerPhase, CircuitBreaker


def phase_of(one: CircuitBreaker) -> BreakerPhase:
    """Read the phase again: mypy would otherwise keep the type of an earlier comparison."""
    return one.phase


def breaker(concurrency: int = 16, jitter: float = 1.0) -> CircuitBreaker:
    return CircuitBreaker(
        concurrency=concurrency, initial_interval_seconds=1.0, max_interval_seconds=60.0, jitter=lambda: jitter
    )


def test_every_phase_has_a_row_for_every_event() -> None:
    """The table of the state machine is complete."""
    assert {phase: set(BreakerEvent) for phase in BreakerPhase} == {
        phase: set(row) for phase, row in TRANSITIONS.items()
    }


def test_the_table_in_the_docstring_is_the_table_in_force() -> None:
    """The table in the docstring is equal to the transitions in the code."""
    assert module.__doc__ is not None
    drawn = {}
    for line in module.__doc__.splitlines():
        cells = re.split(r" {2,}", line.strip())
        if len(cells) == 9 and cells[0] in set(BreakerPhase):
            drawn[BreakerPhase(cells[0])] = dict(zip(BreakerEvent, map(BreakerPhase, cells[1:]), strict=True))
    assert TRANSITIONS == drawn


def test_five_network_failures_in_a_row_open_it() -> None:
    """The fifth consecutive network failure opens the breaker, not the fourth."""
    one = breaker()
    for at in range(4):
        one.failed(float(at), "timeout", network=True)
    assert BreakerPhase.CLOSED is phase_of(one)
    one.failed(4.0, "timeout", network=True)
    assert (BreakerPhase.OPEN, 5.0, False) == (phase_of(one), one.until, one.admits(0))


def test_a_response_between_network_failures_resets_their_count() -> None:
    """Only consecutive network failures count as such. A 503 interrupts the row."""
    one = breaker()
    for at in range(8):
        one.failed(float(at), "timeout", network=at != 4)
    assert BreakerPhase.CLOSED is phase_of(one)


def test_half_of_twenty_attempts_failing_within_thirty_seconds_opens_it() -> None:
    """Ten failures among the last twenty attempts open the breaker at the twentieth."""
    one = breaker()
    for at in range(19):
        one.succeeded(at / 10) if at % 2 else one.failed(at / 10, "http 503", network=False)
    assert BreakerPhase.CLOSED is phase_of(one)
    one.failed(1.9, "http 503", network=False)
    assert BreakerPhase.OPEN is phase_of(one)


def test_the_same_failures_over_a_longer_time_do_not_open_it() -> None:
    """Twenty attempts within more than 30 s leave the breaker closed."""
    one = breaker()
    for at in range(40):
        one.failed(at * 2.0, "http 503", network=False)
    assert BreakerPhase.CLOSED is phase_of(one)


def test_an_open_breaker_admits_single_probes_at_growing_intervals() -> None:
    """Every failed probe doubles the interval, up to the maximum. One attempt runs at a time."""
    one = breaker()
    one.pause(0.0, "http 404")
    waits = []
    for _ in range(9):
        waits.append(one.until)
        one.tick(one.until)
        assert (BreakerPhase.HALF_OPEN, True, False) == (phase_of(one), one.admits(0), one.admits(1))
        one.failed(one.until, "http 404", network=False)
    gaps = [later - earlier for earlier, later in zip([0.0, *waits], waits, strict=False)]
    assert [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0] == gaps


def test_a_recovered_endpoint_gets_more_attempts_step_by_step() -> None:
    """After a successful probe one attempt may run, and one more with every success, up to the concurrency."""
    one = breaker(concurrency=3)
    one.pause(0.0, "http 401")
    one.tick(one.until)
    allowed = []
    for at in range(4):
        one.succeeded(one.until + at)
        allowed.append(one.allowance)
    assert (BreakerPhase.CLOSED, [1, 2, 3, 3]) == (phase_of(one), allowed)


def test_retry_after_pauses_the_whole_endpoint_for_at_least_that_time() -> None:
    """A Retry-After that is longer than the interval counts, also when the breaker is already open."""
    one = breaker()
    one.failed(0.0, "http 429", network=False, wait=7.0)
    assert (BreakerPhase.OPEN, 7.0) == (phase_of(one), one.until)
    one.failed(1.0, "http 429", network=False, wait=30.0)
    assert 31.0 == one.until
    one.tick(30.9)
    assert BreakerPhase.OPEN is phase_of(one)


def test_late_responses_do_not_lengthen_the_wait() -> None:
    """Attempts that were in flight when the breaker opened fail too. Their failures change nothing."""
    one = breaker()
    one.pause(0.0, "http 401")
    before = one.until
    for _ in range(20):
        one.pause(0.5, "http 401")
        one.failed(0.6, "timeout", network=True)
    assert before == one.until


def test_a_gone_endpoint_remains_gone() -> None:
    """After 410 no result of an attempt closes the breaker again."""
    one = breaker()
    one.gone("http 410")
    one.succeeded(1.0)
    one.failed(2.0, "timeout", network=True, wait=1.0)
    one.tick(1000.0)
    assert (BreakerPhase.GONE, False, "http 410") == (phase_of(one), one.admits(0), one.reason)


@given(st.lists(st.sampled_from(["ok", "fail", "net", "wait", "pause", "tick"]), max_size=80), st.floats(0, 0.999))
def test_it_admits_no_attempt_early(events: list[str], jitter: float) -> None:
    """For all events in any order: an open breaker admits no attempt, and the concurrency is never exceeded."""
    one = breaker(concurrency=4, jitter=jitter)
    now = 0.0
    for event in events:
        now += 0.5
        match event:
            case "ok":
                one.succeeded(now)
            case "fail" | "net":
                one.failed(now, "x", network=event == "net")
            case "wait":
                one.failed(now, "x", network=False, wait=3.0)
            case "pause":
                one.pause(now, "x")
            case "tick":
                before = one.phase
                one.tick(now)
                assert not (before is BreakerPhase.OPEN and one.phase is BreakerPhase.HALF_OPEN and now < one.until)
        assert not (one.phase is BreakerPhase.OPEN and one.admits(0))
        assert not one.admits(4)


@pytest.mark.parametrize("phase", list(BreakerPhase))
def test_every_phase_changes_to_gone(phase: BreakerPhase) -> None:
    """A 410 has the same effect in every phase."""
    assert BreakerPhase.GONE is TRANSITIONS[phase][BreakerEvent.GONE]
