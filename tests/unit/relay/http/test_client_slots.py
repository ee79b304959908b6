import asyncio

import pytest

from hookline.relay.http.client import ConnectionSlots


def test_first_come_first_served() -> None:
    """Who waits longest gets the slot that is given back, and nobody gets in ahead of who waits."""

    async def scenario() -> list[int]:
        slots, order = ConnectionSlots(1), []

        async def in_turn(number: int) -> None:
            await slots.wait()
            order.append(number)

        assert slots.take()
        waiting = [asyncio.create_task(in_turn(number)) for number in range(3)]
        await asyncio.sleep(0)
        for _ in waiting:
            slots.give_back()
            assert not slots.take()
            await asyncio.sleep(0)
        return order

    assert [0, 1, 2] == asyncio.run(scenario())


@pytest.mark.parametrize("given_first", [True, False])
def test_cancelled_while_waiting(given_first: bool) -> None:
    """A slot is not lost on one who stops waiting for it, also when it was theirs already."""

    async def scenario() -> None:
        slots = ConnectionSlots(1)
        assert slots.take()
        waiting = asyncio.create_task(slots.wait())
        await asyncio.sleep(0)
        if given_first:
            slots.give_back()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not given_first:
            slots.give_back()
        assert slots.take()
        assert not slots.take()

    asyncio.run(scenario())
