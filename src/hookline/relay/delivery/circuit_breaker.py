"""Decides for one endpoint whether an attempt may start now, and how many may run at once.

A healthy endpoint is CLOSED. The breaker opens after five network failures in a row, if half of the last twenty
attempts within 30 s failed, after a Retry-After, or if the endpoint refuses every request (401, 404, a redirect, a
local fault, twenty refused events in a row). An event that fails again after others were accepted does not count.
When the wait is over the breaker is HALF_OPEN: one real event at a time is the probe. After a success it closes, and
the concurrency grows by one with every success, so that a recovering endpoint is not overloaded. After a 410 it is
GONE.

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

from hookline.relay.delivery.response_policy import (
    ConfirmOnce,
    Dead,
    Delivered,
    EndpointGone,
    PauseEndpoint,
    PolicyAction,
    RefreshToken,
    Retry,
)

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


# By these names, because `BreakerPhase.CLOSED` is an expensive expression before Python 3.12.
_CLOSED, _OPEN, _HALF_OPEN, _GONE = BreakerPhase
# A column is an event, in the order of BreakerEvent.
_ROWS: Final = {
    _CLOSED: (_CLOSED, _CLOSED, _OPEN, _OPEN, _OPEN, _GONE, _CLOSED, _CLOSED),
    _OPEN: (_OPEN, _OPEN, _OPEN, _OPEN, _OPEN, _GONE, _HALF_OPEN, _HALF_OPEN),
    _HALF_OPEN: (_CLOSED, _OPEN, _OPEN, _OPEN, _OPEN, _GONE, _HALF_OPEN, _HALF_OPEN),
    _GONE: (_GONE, _GONE, _GONE, _GONE, _GONE, _GONE, _GONE, _HALF_OPEN),
}
TRANSITIONS: Final = {phase: dict(zip(BreakerEvent, row, strict=True)) for phase, row in _ROWS.items()}


class CircuitBreaker:
    """The circuit breaker of one endpoint.

    Times are seconds of one clock, which the caller passes in. `until` is the end of the phase OPEN, `asked_until`
    that of the longest Retry-After in it, if any. `times_opened` counts how often the breaker opened, and each
    response with 410. `allowance` is the number of attempts that may run at once. `is_probing`: the breaker is
    HALF_OPEN, or it is CLOSED and `allowance` is below the webhook's concurrency. `refusals_in_a_row` counts the
    events that became dead letters since the latest success.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        initial_interval_seconds: float,
        max_interval_seconds: float,
        jitter: Callable[[], float],
    ) -> None:
        """Create a closed breaker.

        Args:
            concurrency: The most attempts at once.
            initial_interval_seconds: The longest first wait before a probe. Each failed probe doubles it.
            max_interval_seconds: The limit of the wait, unless a Retry-After is longer.
            jitter: Returns numbers in [0, 1).
        """
        self.phase: BreakerPhase = _CLOSED
        self.reason: str | None = None
        self.until = 0.0
        self.asked_until: float | None = None
        self.times_opened = 0
        self.allowance = concurrency
        self.is_probing = False
        self.refusals_in_a_row = 0
        self._concurrency = concurrency
        self._initial_interval_seconds = initial_interval_seconds
        self._max_interval_seconds = max_interval_seconds
        self._jitter = jitter
        self._intervals = 0
        self._network_failures = 0
        self._recent: deque[tuple[float, bool]] = deque(maxlen=WINDOW_ATTEMPTS)

    def admits(self, in_flight: int) -> bool:
        """Whether one more attempt may start while `in_flight` others run."""
        if self.phase is _CLOSED:
            return in_flight < self.allowance
        return self.phase is _HALF_OPEN and in_flight < 1

    def record(self, action: PolicyAction, now: float, *, late: bool, alone: bool = False) -> None:
        """Record the result of an attempt.

        Args:
            action: The action of the response policy.
            now: The time at which the attempt ended.
            late: The breaker has opened since the attempt began.
            alone: The event has failed before, and others were accepted in between.
        """
        if isinstance(action, Delivered):
            self.refusals_in_a_row = 0
            if not late:
                self.succeeded(now)
            return
        if isinstance(action, Dead):
            self.refusals_in_a_row += 1
        match action:
            case EndpointGone(reason):
                self.gone(reason)
            case Retry(reason, wait) if late and wait is not None:
                self._open(BreakerEvent.RETRY_AFTER, now, reason, asked=wait)  # the endpoint asks for it now
            case _ if late:
                pass  # it adds no knowledge
            case Retry(reason, None) | PauseEndpoint(reason) if alone:
                self.failed_alone(now, reason)
            case Retry(reason, wait):
                self.failed(now, reason, network=not reason.startswith("http "), wait=wait)
            case PauseEndpoint(reason):
                self.pause(now, reason)
            case Dead():
                # An endpoint that refuses one event works. For the breaker this is a success.
                self.succeeded(now)
            case RefreshToken() | ConfirmOnce():
                pass  # the attempt that would decide did not go out

    def succeeded(self, now: float) -> None:
        self._network_failures = 0
        self._recent.append((now, True))
        if self.phase is _CLOSED and not self.is_probing:
            return  # this serves almost all events: nothing changes
        if self.phase is _HALF_OPEN:
            self._recent.clear()
            self.allowance = 1
            self._intervals = 0
            self.reason = None
        elif self.allowance < self._concurrency:
            self.allowance += 1
        self._enter(BreakerEvent.SUCCESS)

    def failed(self, now: float, reason: str, *, network: bool, wait: float | None = None) -> None:
        """Record a failure that the relay must retry.

        Args:
            now: The time at which the attempt ended.
            reason: The reason in the words of the response policy.
            network: Whether there was no response.
            wait: The seconds of a Retry-After, if any.
        """
        self._network_failures = self._network_failures + 1 if network else 0
        self._recent.append((now, False))
        if wait is not None:
            self._open(BreakerEvent.RETRY_AFTER, now, reason, asked=wait)
        elif self.phase is _HALF_OPEN:
            self._open(BreakerEvent.FAILURE, now, reason)
        elif self.phase is _CLOSED and self._trips(now):
            self._open(BreakerEvent.TRIP, now, reason)

    def failed_alone(self, now: float, reason: str) -> None:
        """Record the failure of an event while others are accepted. As a probe it only ends the probe."""
        if self.phase is _HALF_OPEN:
            intervals = self._intervals
            self._open(BreakerEvent.FAILURE, now, reason)
            self._intervals = intervals

    def _trips(self, now: float) -> bool:
        if self._network_failures >= CONSECUTIVE_FAILURES:
            return True
        recent = self._recent
        full = len(recent) == WINDOW_ATTEMPTS and now - recent[0][0] <= WINDOW_SECONDS
        return full and 2 * sum(not good for _, good in recent) >= WINDOW_ATTEMPTS

    def pause(self, now: float, reason: str) -> None:
        """The endpoint refuses every request, or a local fault prevents requests."""
        if self.phase in (_CLOSED, _HALF_OPEN):
            self._open(BreakerEvent.PAUSE, now, reason)

    def gone(self, reason: str) -> None:
        """The endpoint answered 410."""
        self.times_opened += 1
        self.reason = reason
        self._enter(BreakerEvent.GONE)

    def restore(self, until: float, reason: str) -> None:
        """The endpoint asked an earlier relay for no requests until `until`."""
        self.until = self.asked_until = until
        self.reason = reason
        self._enter(BreakerEvent.RETRY_AFTER)

    def retry_now(self) -> None:
        """An operator ran `retry-now`: admit a probe at once."""
        self._intervals = 0
        self._enter(BreakerEvent.RETRY_NOW)

    def clock_set_back(self, seconds: float) -> None:
        """The clock was set back by `seconds`. The wait keeps its length."""
        self.until -= seconds
        if self.asked_until is not None:
            self.asked_until -= seconds
        self._recent.clear()

    def tick(self, now: float) -> None:
        """Admit a probe if the wait is over."""
        if self.phase is _OPEN and now >= self.until:
            self._enter(BreakerEvent.WAIT_OVER)

    def _open(self, event: BreakerEvent, now: float, reason: str, asked: float | None = None) -> None:
        if self.phase is _GONE:
            return
        if self.phase is not _OPEN:
            interval = min(
                self._max_interval_seconds, self._initial_interval_seconds * 2.0 ** min(self._intervals, 60)
            )
            # Half of the interval is fixed, so that probes do not come in a burst. The other half is random, so that
            # several relays do not probe at the same time.
            self.until = now + interval * (0.5 + self._jitter() / 2)
            self._intervals += 1
            self.times_opened += 1
            self.reason = reason
            self.asked_until = None
        if asked is not None:
            self.asked_until = max(self.asked_until or 0.0, now + asked)
            self.until = max(self.until, self.asked_until)
        self._enter(event)

    def _enter(self, event: BreakerEvent) -> None:
        self.phase = TRANSITIONS[self.phase][event]
        is_recovering = self.phase is _CLOSED and self.allowance < self._concurrency
        self.is_probing = is_recovering or self.phase is _HALF_OPEN
