"""The budget of connections, and the share of each endpoint."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.http.limits.connection_budget import ConnectionBudget, ConnectionShare

pytestmark = pytest.mark.anyio


def take(share: ConnectionShare, number: int) -> int:
    """How many of this number of connections the share gets."""
    return sum(share.try_take() for _ in range(number))


def test_one_endpoint_gets_most() -> None:
    """A busy endpoint among idle ones gets its own part and two thirds of the common part."""
    assert 834 == take(ConnectionShare(ConnectionBudget(1000)), 2000)
    assert 384 == take(ConnectionShare(ConnectionBudget(1000, lambda: 10)), 2000)


@given(
    limit=st.integers(50, 1000),
    hanging=st.lists(st.integers(1, 1024), min_size=1, max_size=40),
)
def test_hanging_endpoints_leave_a_part(limit: int, hanging: list[int]) -> None:
    """Whatever other endpoints hold for ever, an endpoint gets its part of the half that is divided in advance."""
    endpoints = len(hanging) + 1
    budget = ConnectionBudget(limit, lambda: endpoints)
    for wanted in hanging:
        take(ConnectionShare(budget), wanted)
    assert take(ConnectionShare(budget), 1024) >= max(1, limit // (2 * endpoints))
    assert budget.open <= limit


def test_more_endpoints_than_connections() -> None:
    """Each endpoint gets one connection while there are any, and no endpoint a second one."""
    budget = ConnectionBudget(5, lambda: 100)
    assert [1, 1, 1, 1, 1, 0] == [take(ConnectionShare(budget), 3) for _ in range(6)]


async def test_a_connection_goes_to_the_endpoint_with_the_fewest() -> None:
    """A returned connection wakes the endpoint with the fewest connections, and a cancelled attempt passes it on."""
    budget = ConnectionBudget(4, lambda: 2)
    rich, poor = ConnectionShare(budget), ConnectionShare(budget)
    take(rich, 3)
    assert 1 == take(poor, 1)
    woken = list[str]()

    async def wait(share: ConnectionShare, name: str) -> None:
        await share.wait()
        woken.append(name)

    waiting = [asyncio.create_task(wait(*one)) for one in ((rich, "rich"), (poor, "first"), (poor, "second"))]
    await asyncio.sleep(0)
    assert 3 == budget.waiting
    rich.give_back()
    waiting[1].cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert ["second"] == woken
    assert 1 == budget.waiting
    waiting[0].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert 0 == budget.waiting


async def test_attempts_without_a_descriptor_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that found no file descriptor counts as waiting until it tries again."""
    monkeypatch.setattr("hookline.relay.http.limits.connection_budget.NO_DESCRIPTOR_RETRY_SECONDS", 0.01)
    budget = ConnectionBudget(4)
    trying = asyncio.create_task(ConnectionShare(budget).wait_for_descriptors())
    await asyncio.sleep(0)
    assert 1 == budget.waiting == budget.without_descriptor
    await trying
    assert 0 == budget.waiting
