from __future__ import annotations

import random
from datetime import timedelta

import pytest

from hookline.receiver.faults import Fault, FaultPlan, parse_fault, random_status


def test_a_failure_is_read_from_status_and_share() -> None:
    """``503:0.2`` is a fifth of the requests, answered with 503."""
    assert Fault(503, 0.2) == parse_fault("503:0.2")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("503", "STATUS:SHARE"),
        ("x:0.1", "STATUS:SHARE"),
        ("200:0.1", "300 to 599"),
        ("503:1.5", "0 to 1"),
        ("503:nan", "0 to 1"),
    ],
)
def test_what_is_not_a_failure_is_refused_with_the_right_form(text: str, complaint: str) -> None:
    """A message contains a valid example."""
    with pytest.raises(ValueError, match=complaint):
        parse_fault(text)


def test_shares_of_more_than_everything_are_refused() -> None:
    """Two failures cannot share out more than all requests."""
    with pytest.raises(ValueError, match=r"add up to 1\.1"):
        FaultPlan(faults=(Fault(503, 0.6), Fault(500, 0.5)))


@pytest.mark.parametrize(
    ("draw", "expected"), [(0.0, 503), (0.199, 503), (0.2, 429), (0.299, 429), (0.301, None), (0.99, None)]
)
def test_each_failure_takes_its_own_part_of_chance(draw: float, expected: int | None) -> None:
    """The shares lie beside each other, in the order given, and the rest is treated well."""
    assert expected == random_status((Fault(503, 0.2), Fault(429, 0.1)), draw)


def test_over_many_requests_a_share_is_about_what_was_asked_for() -> None:
    """If a fifth of the requests fails, about 2,000 of 10,000 do."""
    chance = random.Random(1)
    failed = sum(random_status((Fault(503, 0.2),), chance.random()) == 503 for _ in range(10_000))
    assert 1_800 < failed < 2_200


def test_an_outage_ends_when_its_time_is_over() -> None:
    """Everything before the end of the outage is out, nothing from its end on."""
    fault_plan = FaultPlan(outage=timedelta(seconds=2))
    assert [True, True, False] == [fault_plan.is_out(timedelta(seconds=at)) for at in (0, 1.9, 2)]
