"""The relay's clock: setting the wall clock increases no age."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.clock import STEP_SECONDS, RelayClock

DAY = 86_400.0


class Machine:
    """A machine's two clocks. Time passes on both; only the wall clock can be set."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.even = 50_000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.even += seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> RelayClock:
    return RelayClock(wall=lambda: machine.wall, even=lambda: machine.even)


def test_without_a_step_both_times_are_the_same(machine: Machine, clock: RelayClock) -> None:
    """The cautious time is equal to the wall clock until that is set."""
    machine.passes(3 * DAY)
    assert machine.wall == clock.now() == clock.cautious_now()
    assert (3 * DAY, 0.0, 0) == (clock.elapsed(), clock.take_step(), clock.steps)
    assert clock.now() == clock.at(clock.elapsed())


def test_a_jump_forward_ages_nothing(machine: Machine, clock: RelayClock) -> None:
    """The wall clock jumps. The cautious time advances by the seconds that have passed."""
    before = clock.now()
    machine.wall += 30 * DAY
    machine.passes(60.0)
    assert 30 * DAY == clock.take_step()
    assert before + 30 * DAY + 60.0 == clock.now()
    assert before + 60.0 == clock.cautious_now()
    assert 60.0 == clock.elapsed()
    assert clock.now() - 60.0 == clock.at(0.0)


def test_a_jump_back_only_keeps_things_longer(machine: Machine, clock: RelayClock) -> None:
    """The cautious time is never ahead of the wall clock."""
    before = clock.now()
    machine.wall -= DAY
    assert -DAY == clock.take_step()
    assert before - DAY == clock.now() == clock.cautious_now()


def test_a_correction_after_a_jump_back_ages_nothing(machine: Machine, clock: RelayClock) -> None:
    """Entries that were dated while the clock was a day behind are not a day old after the correction."""
    machine.wall -= DAY
    clock.take_step()
    dated = clock.now()
    machine.passes(60.0)
    machine.wall += DAY
    clock.take_step()
    assert 60.0 == clock.cautious_now() - dated


def test_a_step_is_reported_once(machine: Machine, clock: RelayClock) -> None:
    """Each step is reported once, with its direction. Slewing is no step."""
    machine.wall -= 3600.0
    assert (-3600.0, 0.0) == (clock.take_step(), clock.take_step())
    machine.wall += 7200.0
    assert (7200.0, 0.0) == (clock.take_step(), clock.take_step())
    machine.wall += STEP_SECONDS / 2
    assert (0.0, 2) == (clock.take_step(), clock.steps)


def test_a_step_counts_from_the_next_look_on(machine: Machine, clock: RelayClock) -> None:
    """A time that is asked for between a step and the look at it belongs to the old setting. A clock that was set
    forward and back in between was not set."""
    before = clock.now()
    machine.wall += DAY
    machine.passes(0.5)
    assert before + 0.5 == clock.now()
    machine.wall -= DAY
    assert (0.0, before + 0.5) == (clock.take_step(), clock.now())


def test_slewing_is_followed(machine: Machine, clock: RelayClock) -> None:
    """A wall clock that runs a little faster is no step, and its time is taken over."""
    for _ in range(10):
        machine.passes(1.0)
        machine.wall += STEP_SECONDS / 4
        assert 0.0 == clock.take_step()
    assert machine.wall == clock.now()


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(-50, 50)), max_size=10))
def test_however_the_clock_is_set_nothing_is_older_than_it_is(steps: list[tuple[int, int]]) -> None:
    """For everything that was dated by the wall clock: its cautious age is at most the time that has passed."""
    machine = Machine()
    clock = RelayClock(wall=lambda: machine.wall, even=lambda: machine.even)
    dated: list[tuple[float, float]] = []
    for passed, set_by in steps:
        dated.append((clock.now(), clock.elapsed()))
        machine.passes(passed)
        machine.wall += set_by
        clock.take_step()
        assert clock.cautious_now() <= clock.now()
        assert all(clock.cautious_now() - at <= clock.elapsed() - then for at, then in dated)
