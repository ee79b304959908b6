"""The gate: when an endpoint may be posted to, and by how many at once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hookline.relay.delivery.circuit_breaker as module
from hookline.relay.delivery.circuit_breaker import TRANSITIONS, BreakerEvent, BreakerPhase, CircuitBreaker


def phase_of(one: CircuitBreaker) -> BreakerPhase:
    """Asked anew, whatever was known of it before."""
    return one.phase


def gate(concurrency: int = 16, jitter: float = 1.0) -> CircuitBreaker:
    return CircuitBreaker(concurrency=concurrency, first_interval=1.0, longest_interval=60.0, jitter=lambda: jitter)


def test_every_phase_has_a_row_for_everything_that_happens() -> None:
    """The state machine is a table without holes."""
    assert {phase: set(BreakerEvent) for phase in BreakerPhase} == {
        phase: set(row) for phase, row in TRANSITIONS.items()
    }


def test_the_table_in_the_docstring_is_the_table_in_force() -> None:
    """What a reader sees drawn above the code is what the code does."""
    assert module.__doc__ is not None
    drawn = {}
    for line in module.__doc__.splitlines():
        cells = re.split(r" {2,}", line.strip())
        if len(cells) == 9 and cells[0] in set(BreakerPhase):
            drawn[BreakerPhase(cells[0])] = dict(zip(BreakerEvent, map(BreakerPhase, cells[1:]), strict=True))
    assert TRANSITIONS == drawn


def test_five_network_failures_in_a_row_close_it() -> None:
    """The fifth consecutive network failure makes the endpoint wait, not the fourth."""
    one = gate()
    for at in range(4):
        one.failed(float(at), "timeout", network=True)
    assert BreakerPhase.CLOSED is phase_of(one)
    one.failed(4.0, "timeout", network=True)
    assert (BreakerPhase.OPEN, 5.0, False) == (phase_of(one), one.until, one.admits(0))


def test_an_answer_between_network_failures_starts_the_count_anew() -> None:
    """Only consecutive network failures count as such; an answered 503 breaks the row."""
    one = gate()
    for at in range(8):
        one.failed(float(at), "timeout", network=at != 4)
    assert BreakerPhase.CLOSED is phase_of(one)


def test_half_of_twenty_attempts_failing_within_thirty_seconds_closes_it() -> None:
    """Ten failures among the last twenty attempts close it at the twentieth."""
    one = gate()
    for at in range(19):
        one.succeeded(at / 10) if at % 2 else one.failed(at / 10, "http 503", network=False)
    assert BreakerPhase.CLOSED is phase_of(one)
    one.failed(1.9, "http 503", network=False)
    assert BreakerPhase.OPEN is phase_of(one)


def test_the_same_failures_over_a_longer_time_do_not_close_it() -> None:
    """Twenty attempts that took more than 30 s say nothing about now."""
    one = gate()
    for at in range(40):
        one.failed(at * 2.0, "http 503", network=False)
    assert BreakerPhase.CLOSED is phase_of(one)


def test_a_waiting_endpoint_is_probed_by_one_at_growing_intervals() -> None:
    """Every failed probe doubles the interval, up to the longest one; one attempt at a time."""
    one = gate()
    one.held(0.0, "http 404")
    waits = []
    for _ in range(9):
        waits.append(one.until)
        one.tick(one.until)
        assert (BreakerPhase.HALF_OPEN, True, False) == (phase_of(one), one.admits(0), one.admits(1))
        one.failed(one.until, "http 404", network=False)
    gaps = [later - earlier for earlier, later in zip([0.0, *waits], waits, strict=False)]
    assert [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0] == gaps


def test_a_healed_endpoint_is_loaded_step_by_step() -> None:
    """After a successful probe one may go, and one more with every success, up to the webhook's concurrency."""
    one = gate(concurrency=3)
    one.held(0.0, "http 401")
    one.tick(one.until)
    allowed = []
    for at in range(4):
        one.succeeded(one.until + at)
        allowed.append(one.allowance)
    assert (BreakerPhase.CLOSED, [1, 2, 3, 3]) == (phase_of(one), allowed)


def test_retry_after_holds_the_whole_endpoint_at_least_so_long() -> None:
    """A Retry-After that is longer than the interval counts, also when the gate is closed already."""
    one = gate()
    one.failed(0.0, "http 429", network=False, wait=7.0)
    assert (BreakerPhase.OPEN, 7.0) == (phase_of(one), one.until)
    one.failed(1.0, "http 429", network=False, wait=30.0)
    assert 31.0 == one.until
    one.tick(30.9)
    assert BreakerPhase.OPEN is phase_of(one)


def test_late_answers_do_not_lengthen_the_wait() -> None:
    """What was in flight when the gate closed fails too, and that is no news."""
    one = gate()
    one.held(0.0, "http 401")
    before = one.until
    for _ in range(20):
        one.held(0.5, "http 401")
        one.failed(0.6, "timeout", network=True)
    assert before == one.until


def test_a_stopped_endpoint_stays_so() -> None:
    """After 410 nothing that happens opens it again."""
    one = gate()
    one.stopped("http 410")
    one.succeeded(1.0)
    one.failed(2.0, "timeout", network=True, wait=1.0)
    one.tick(1000.0)
    assert (BreakerPhase.GONE, False, "http 410") == (phase_of(one), one.admits(0), one.reason)


@given(st.lists(st.sampled_from(["ok", "fail", "net", "wait", "hold", "tick"]), max_size=80), st.floats(0, 0.999))
def test_it_never_admits_before_its_time(happenings: list[str], jitter: float) -> None:
    """Whatever happens in whatever order: a waiting gate admits nobody, and never more than the concurrency go."""
    one = gate(concurrency=4, jitter=jitter)
    now = 0.0
    for happening in happenings:
        now += 0.5
        match happening:
            case "ok":
                one.succeeded(now)
            case "fail" | "net":
                one.failed(now, "x", network=happening == "net")
            case "wait":
                one.failed(now, "x", network=False, wait=3.0)
            case "hold":
                one.held(now, "x")
            case "tick":
                before = one.phase
                one.tick(now)
                assert not (before is BreakerPhase.OPEN and one.phase is BreakerPhase.HALF_OPEN and now < one.until)
        assert not (one.phase is BreakerPhase.OPEN and one.admits(0))
        assert not one.admits(4)


@pytest.mark.parametrize("phase", list(BreakerPhase))
def test_stop_is_final_from_every_phase(phase: BreakerPhase) -> None:
    """410 wins over whatever the gate was doing."""
    assert BreakerPhase.GONE is TRANSITIONS[phase][BreakerEvent.GONE]
