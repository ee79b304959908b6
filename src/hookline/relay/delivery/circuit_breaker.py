"""Whether an endpoint may be posted to now, and by how many at once.

A healthy endpoint is OPEN. When it fails it WAITS: after five network failures in a row, when half of the last
twenty attempts within 30 s failed, when it sent Retry-After, or when it refuses whatever it is sent (401, 404, a
redirect, a fault of ours). Then one real event at a time PROBES it, at growing intervals, until one gets through;
from there its concurrency grows by one with every success, so that a healed endpoint is not run over. 410 STOPS it.

    phase      success   failure   trip      wait      hold      stop      time      hurry
    ---------  --------  --------  --------  --------  --------  --------  --------  -------
    open       open      open      waiting   waiting   waiting   stopped   open      open
    waiting    waiting   waiting   waiting   waiting   waiting   stopped   probing   probing
    probing    open      waiting   waiting   waiting   waiting   stopped   probing   probing
    stopped    stopped   stopped   stopped   stopped   stopped   stopped   stopped   probing

A stopped gate stays so until a changed configuration brings a new one, or somebody says `retry-now`. Answers to
attempts that were in flight when the gate closed change nothing, except that a Retry-After can lengthen the wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final

CONSECUTIVE_FAILURES: Final = 5
WINDOW_ATTEMPTS: Final = 20
WINDOW_SECONDS: Final = 30.0


class Phase(StrEnum):
    OPEN = "open"
    WAITING = "waiting"
    PROBING = "probing"
    STOPPED = "stopped"


class Happening(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    TRIP = "trip"
    WAIT = "wait"
    HOLD = "hold"
    STOP = "stop"
    TIME = "time"
    HURRY = "hurry"


TABLE: Final[dict[Phase, dict[Happening, Phase]]] = {
    Phase.OPEN: {
        Happening.SUCCESS: Phase.OPEN,
        Happening.FAILURE: Phase.OPEN,
        Happening.TRIP: Phase.WAITING,
        Happening.WAIT: Phase.WAITING,
        Happening.HOLD: Phase.WAITING,
        Happening.STOP: Phase.STOPPED,
        Happening.TIME: Phase.OPEN,
        Happening.HURRY: Phase.OPEN,
    },
    Phase.WAITING: {
        Happening.SUCCESS: Phase.WAITING,
        Happening.FAILURE: Phase.WAITING,
        Happening.TRIP: Phase.WAITING,
        Happening.WAIT: Phase.WAITING,
        Happening.HOLD: Phase.WAITING,
        Happening.STOP: Phase.STOPPED,
        Happening.TIME: Phase.PROBING,
        Happening.HURRY: Phase.PROBING,
    },
    Phase.PROBING: {
        Happening.SUCCESS: Phase.OPEN,
        Happening.FAILURE: Phase.WAITING,
        Happening.TRIP: Phase.WAITING,
        Happening.WAIT: Phase.WAITING,
        Happening.HOLD: Phase.WAITING,
        Happening.STOP: Phase.STOPPED,
        Happening.TIME: Phase.PROBING,
        Happening.HURRY: Phase.PROBING,
    },
    Phase.STOPPED: dict.fromkeys(Happening, Phase.STOPPED) | {Happening.HURRY: Phase.PROBING},
}


class Gate:
    """Times are seconds of one clock that the caller keeps, always handed in; `jitter` gives numbers in [0, 1)."""

    def __init__(
        self, *, concurrency: int, first_interval: float, longest_interval: float, jitter: Callable[[], float]
    ) -> None:
        self.phase = Phase.OPEN
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
            case Phase.OPEN:
                return in_flight < self.allowance
            case Phase.PROBING:
                return in_flight < 1
            case Phase.WAITING | Phase.STOPPED:
                return False

    def came_late(self, now: float, reason: str, wait: float | None) -> None:
        """The end of an attempt that began before the gate closed last (`closings` was less).

        It says what was known then. Only a Retry-After counts: the endpoint asks for it now.
        """
        if wait is not None and self.phase in (Phase.WAITING, Phase.PROBING):
            self._close(Happening.WAIT, now, reason, at_least=wait)

    def succeeded(self, now: float) -> None:
        self._network_failures = 0
        self._recent.append((now, True))
        if self.phase is Phase.PROBING:
            self._recent.clear()
            self.allowance = 1
            self._intervals = 0
            self.reason = None
        elif self.allowance < self._concurrency:
            self.allowance += 1
        self._enter(Happening.SUCCESS)

    def failed(self, now: float, reason: str, *, network: bool, wait: float | None = None) -> None:
        """An attempt is to be repeated. `network`: nothing came back; `wait`: the seconds of a Retry-After."""
        self._network_failures = self._network_failures + 1 if network else 0
        self._recent.append((now, False))
        if wait is not None:
            self._close(Happening.WAIT, now, reason, at_least=wait)
        elif self.phase is Phase.PROBING:
            self._close(Happening.FAILURE, now, reason)
        elif self.phase is Phase.OPEN and self._trips(now):
            self._close(Happening.TRIP, now, reason)

    def _trips(self, now: float) -> bool:
        if self._network_failures >= CONSECUTIVE_FAILURES:
            return True
        recent = self._recent
        full = len(recent) == WINDOW_ATTEMPTS and now - recent[0][0] <= WINDOW_SECONDS
        return full and 2 * sum(not good for _, good in recent) >= WINDOW_ATTEMPTS

    def held(self, now: float, reason: str) -> None:
        """The endpoint refuses whatever it is sent, or cannot be posted to for a fault of ours."""
        if self.phase in (Phase.OPEN, Phase.PROBING):
            self._close(Happening.HOLD, now, reason)

    def stopped(self, reason: str) -> None:
        self.reason = reason
        self._enter(Happening.STOP)

    def restored(self, until: float, reason: str) -> None:
        """An earlier relay was asked to leave the endpoint alone until then."""
        self.until = until
        self.reason = reason
        self.asked_to_wait = True
        self._enter(Happening.WAIT)

    def hurried(self) -> None:
        """Somebody wants it tried at once, whatever it was found to be."""
        self._intervals = 0
        self._enter(Happening.HURRY)

    def clock_set_back(self, seconds: float) -> None:
        """The clock was set back by `seconds`: a wait does not become longer by them."""
        self.until -= seconds
        self._recent.clear()

    def tick(self, now: float) -> None:
        """Time has passed: a wait that is over becomes a probe."""
        if self.phase is Phase.WAITING and now >= self.until:
            self._enter(Happening.TIME)

    def _close(self, happening: Happening, now: float, reason: str, at_least: float = 0.0) -> None:
        if self.phase is Phase.STOPPED:
            return
        if self.phase is not Phase.WAITING:
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

    def _enter(self, happening: Happening) -> None:
        self.phase = TABLE[self.phase][happening]
