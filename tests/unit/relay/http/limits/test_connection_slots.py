import asyncio

import pytest

from hookline.relay.http.limits.connection_slots import ConnectionSlots


def test_first_come_first_served() -> None:
    """The caller that waits longest gets a released slot, and no other caller overtakes it."""

    async def scenario() -> list[int]:
        slots, order = ConnectionSlots(1), []

        async def in_turn(number: int) -> None:
            await slots.acquire()
            order.append(number)

        assert slots.try_acquire()
        waiting = [asyncio.create_task(in_turn(number)) for number in range(3)]
        await asyncio.sleep(0)
        for _ in waiting:
            slots.release()
            assert not slots.try_acquire()
            await asyncio.sleep(0)
        return order

    assert [0, 1, 2] == asyncio.run(scenario())


@pytest.mark.parametrize("given_first", [True, False])
def test_cancelled_while_waiting(given_first: bool) -> None:
    """A cancelled caller loses no slot, even if the slot was already assigned to it."""

    async def scenario() -> None:
        slots = ConnectionSlots(1)
        assert slots.try_acquire()
        waiting = asyncio.create_task(slots.acquire())
        await asyncio.sleep(0)
        if given_first:
            slots.release()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not given_first:
            slots.release()
        assert slots.try_acquire()
        assert not slots.try_acquire()

    asyncio.run(scenario())
