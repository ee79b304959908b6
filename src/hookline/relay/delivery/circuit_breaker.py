"""Decides for one endpoint whether an attempt may start now, and how many may run at once.

A healthy endpoint is CLOSED. The breaker opens after five network failures in a row, if half of the last twenty
attempts within 30 s failed, after a Retry-After, or if the endpoint refuses every request (401, 404, a redirect, a
local fault). When the wait is over it is HALF_OPEN: one real event at a time is the probe. After a success it closes,
and the concurrency grows by one with every success, so that a recovering endpoint is not overloaded. After a 410 it
is GONE.

    phase      success    failure    trip       retry_after  pause      gone       wait_over  retry_now
    ---------  ---------  ---------  ---------  -----------  ---------  ---------  ---------  ---------
    closed     closed     closed     open       open         open       gone       closed     closed
    open       open       open       open       open         open       gone       half_open  half_open
    half_open  closed     open       open       open         open       gone       half_open  half_open
    gone       gone       gone       gone       gone         gone       gone       gone       half_open

A breaker stays GONE until a changed configuration creates a new one, or an operator runs `retry-now`. Responses to
attempts that were in flight when the breaker opened change nothing, except that a Retry-After can lengthen the wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final

CONSECUTIVE_FAILURES: Final = 5
WINDOW_ATTEMPTS: Final = 20
WINDOW_SECONDS: Final = 30.0


class BreakerPhase(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    GONE = "gone"


class BreakerEvent(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    TRIP = "trip"
    RETRY_AFTER = "retry_after"
    PAUSE = "pause"
    GONE = "gone"
    WAIT_OVER = "wait_over"
    RETRY_NOW = "retry_now"


TRANSITIONS: Final[dict[BreakerPhase, dict[BreakerEvent, BreakerPhase]]] = {
    BreakerPhase.CLOSED: {
        BreakerEvent.SUCCESS: BreakerPhase.CLOSED,
        BreakerEvent.FAILURE: BreakerPhase.CLOSED,
        BreakerEvent.TRIP: BreakerPhase.OPEN,
        BreakerEvent.RETRY_AFTER: BreakerPhase.OPEN,
        BreakerEvent.PAUSE: BreakerPhase.OPEN,
        BreakerEvent.GONE: BreakerPhase.GONE,
        BreakerEvent.WAIT_OVER: BreakerPhase.CLOSED,
        BreakerEvent.RETRY_NOW: BreakerPhase.CLOSED,
    },
    BreakerPhase.OPEN: {
        BreakerEvent.SUCCESS: BreakerPhase.OPEN,
        BreakerEvent.FAILURE: BreakerPhase.OPEN,
        BreakerEvent.TRIP: BreakerPhase.OPEN,
        BreakerEvent.RETRY_AFTER: BreakerPhase.OPEN,
        BreakerEvent.PAUSE: BreakerPhase.OPEN,
        BreakerEvent.GONE: BreakerPhase.GONE,
        BreakerEvent.WAIT_OVER: BreakerPhase.HALF_OPEN,
        BreakerEvent.RETRY_NOW: BreakerPhase.HALF_OPEN,
    },
    BreakerPhase.HALF_OPEN: {
        BreakerEvent.SUCCESS: BreakerPhase.CLOSED,
        BreakerEvent.FAILURE: BreakerPhase.OPEN,
        BreakerEvent.TRIP: BreakerPhase.OPEN,
        BreakerEvent.RETRY_AFTER: BreakerPhase.OPEN,
        BreakerEvent.PAUSE: BreakerPhase.OPEN,
        BreakerEvent.GONE: BreakerPhase.GONE,
        BreakerEvent.WAIT_OVER: BreakerPhase.HALF_OPEN,
        BreakerEvent.RETRY_NOW: BreakerPhase.HALF_OPEN,
    },
    BreakerPhase.GONE: dict.fromkeys(BreakerEvent, BreakerPhase.GONE)
    | {BreakerEvent.RETRY_NOW: BreakerPhase.HALF_OPEN},
}


class CircuitBreaker:
    """Times are seconds of one clock that the caller keeps, always handed in; `jitter` gives numbers in [0, 1)."""

    def __init__(
        self, *, concurrency: int, first_interval: float, longest_interval: float, jitter: Callable[[], float]
    ) -> None:
        self.phase = BreakerPhase.CLOSED
        self.reason: str | None = None
        self.until = 0.0
        self.asked_to_wait = False
        self.closings = 0
        self.allowance = concurrency
        self._concurrency = concurrency
        self._first_interval = first_interval
        self._longest_interval = longest_interval
        self._jitter = jitter
        self._intervals = 0
        self._network_failures = 0
        self._recent: deque[tuple[float, bool]] = deque(maxlen=WINDOW_ATTEMPTS)

    def admits(self, in_flight: int) -> bool:
        """Whether one more attempt may start beside `in_flight` others."""
        match self.phase:
            case BreakerPhase.CLOSED:
                return in_flight < self.allowance
            case BreakerPhase.HALF_OPEN:
                return in_flight < 1
            case BreakerPhase.OPEN | BreakerPhase.GONE:
                return False

    def came_late(self, now: float, reason: str, wait: float | None) -> None:
        """The end of an attempt that began before the gate closed last (`closings` was less).

        It says what was known then. Only a Retry-After counts: the endpoint asks for it now.
        """
        if wait is not None and self.phase in (BreakerPhase.OPEN, BreakerPhase.HALF_OPEN):
            self._close(BreakerEvent.RETRY_AFTER, now, reason, at_least=wait)

    def succeeded(self, now: float) -> None:
        self._network_failures = 0
        self._recent.append((now, True))
        if self.phase is BreakerPhase.HALF_OPEN:
            self._recent.clear()
            self.allowance = 1
            self._intervals = 0
            self.reason = None
        elif self.allowance < self._concurrency:
            self.allowance += 1
        self._enter(BreakerEvent.SUCCESS)

    def failed(self, now: float, reason: str, *, network: bool, wait: float | None = None) -> None:
        """An attempt is to be repeated. `network`: nothing came back; `wait`: the seconds of a Retry-After."""
        self._network_failures = self._network_failures + 1 if network else 0
        self._recent.append((now, False))
        if wait is not None:
            self._close(BreakerEvent.RETRY_AFTER, now, reason, at_least=wait)
        elif self.phase is BreakerPhase.HALF_OPEN:
            self._close(BreakerEvent.FAILURE, now, reason)
        elif self.phase is BreakerPhase.CLOSED and self._trips(now):
            self._close(BreakerEvent.TRIP, now, reason)

    def _trips(self, now: float) -> bool:
        if self._network_failures >= CONSECUTIVE_FAILURES:
            return True
        recent = self._recent
        full = len(recent) == WINDOW_ATTEMPTS and now - recent[0][0] <= WINDOW_SECONDS
        return full and 2 * sum(not good for _, good in recent) >= WINDOW_ATTEMPTS

    def held(self, now: float, reason: str) -> None:
        """The endpoint refuses whatever it is sent, or cannot be posted to for a fault of ours."""
        if self.phase in (BreakerPhase.CLOSED, BreakerPhase.HALF_OPEN):
            self._close(BreakerEvent.PAUSE, now, reason)

    def stopped(self, reason: str) -> None:
        self.reason = reason
        self._enter(BreakerEvent.GONE)

    def restored(self, until: float, reason: str) -> None:
        """An earlier relay was asked to leave the endpoint alone until then."""
        self.until = until
        self.reason = reason
        self.asked_to_wait = True
        self._enter(BreakerEvent.RETRY_AFTER)

    def hurried(self) -> None:
        """Somebody wants it tried at once, whatever it was found to be."""
        self._intervals = 0
        self._enter(BreakerEvent.RETRY_NOW)

    def clock_set_back(self, seconds: float) -> None:
        """The clock was set back by `seconds`: a wait does not become longer by them."""
        self.until -= seconds
        self._recent.clear()

    def tick(self, now: float) -> None:
        """Time has passed: a wait that is over becomes a probe."""
        if self.phase is BreakerPhase.OPEN and now >= self.until:
            self._enter(BreakerEvent.WAIT_OVER)

    def _close(self, happening: BreakerEvent, now: float, reason: str, at_least: float = 0.0) -> None:
        if self.phase is BreakerPhase.GONE:
            return
        if self.phase is not BreakerPhase.OPEN:
            longest = min(self._longest_interval, self._first_interval * 2.0 ** min(self._intervals, 60))
            # Half of the interval is fixed, so that probes do not come in a burst; half is spread out, so that
            # several relays do not come together.
            self.until = now + longest * (0.5 + self._jitter() / 2)
            self._intervals += 1
            self.closings += 1
            self.reason = reason
            self.asked_to_wait = False
        if now + at_least > self.until:
            self.until = now + at_least
            self.asked_to_wait = True
        self._enter(happening)

    def _enter(self, happening: BreakerEvent) -> None:
        self.phase = TRANSITIONS[self.phase][happening]
