"""The turns of one lane under its rate limit: attempts of deliveries in flight come before other deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from hookline.relay.clock import RelayClock
from hookline.relay.delivery.rate_limiter import RateLimiter


class AttemptTurns:
    """Gives one turn after the other. Durations are measured by the even time of the relay's clock."""

    def __init__(self, limiter: RateLimiter, clock: RelayClock, start_attempts: Callable[[], None]) -> None:
        """Create it without a waiting attempt.

        Args:
            limiter: The rate limit of the webhook.
            clock: The relay's clock.
            start_attempts: Called soon after an attempt of a delivery in flight has stopped waiting.
        """
        self._limiter = limiter
        self._clock = clock
        self._start_attempts = start_attempts
        self._waiting = 0
        self._interruption = asyncio.Event()

    def delay(self) -> float | None:
        """Seconds until another delivery may be attempted. With 0 it has the turn, and its attempt must start.

        None: an attempt of a delivery in flight comes first, and `start_attempts` is called then.
        """
        return None if self._waiting else self._limiter.delay(self._clock.elapsed())

    async def wait(self, is_permitted: Callable[[], bool]) -> bool:
        """Wait for the turn of another attempt of a delivery in flight. False: it must not go out.

        It comes before new deliveries and retries, which would otherwise take every turn. `is_permitted` is called
        before the turn and after each interruption.
        """
        self._waiting += 1
        try:
            while is_permitted():
                if (delay := self._limiter.delay(self._clock.elapsed())) <= 0:
                    return True
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._interruption.wait()
            return False
        finally:
            self._waiting -= 1
            asyncio.get_running_loop().call_soon(self._start_attempts)

    def interrupt(self) -> None:
        """Make the attempts that wait check again whether they may go out."""
        self._interruption.set()
        self._interruption = asyncio.Event()
