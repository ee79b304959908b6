"""A thread that stops before each of its steps until the explorer lets it continue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

# The steps whose effect depends on the time, and does not show it in their result.
_TIMED = frozenset({"read the clock", "RENEW"})
_ALWAYS: Callable[[], bool] = lambda: True  # noqa: E731 - the default of a condition


class Abandoned(BaseException):
    """The explorer goes back to another state. The thread ends without further steps."""


class SteppedThread:
    """One thread of a process: its calls, one after the other.

    `label` names the next step. `history` has the results of the call in progress, and times where they matter:
    together with the number of finished calls, it is everything on which the thread's local variables and its open
    transaction depend.
    """

    def __init__(self, name: str, calls: list[Callable[[SteppedThread], None]], clock: Callable[[], float]) -> None:
        self.name = name
        self.label = ""
        self.history: list[tuple[Any, ...]] = []
        self.finished_calls = 0
        self.is_done = False
        self.is_blocked = False
        self.failure: BaseException | None = None
        self.condition = _ALWAYS
        self.backend_pid = 0
        self._calls = calls
        self._clock = clock
        self._continue = threading.Semaphore(0)
        self._has_stopped = threading.Semaphore(0)
        self._abandoned = False
        self._unwinding = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        assert self.stops(60)

    def _run(self) -> None:
        try:
            for call in self._calls:
                call(self)
                self.history = []
                self.finished_calls += 1
        except Abandoned:
            pass
        except BaseException as failure:
            self.failure = failure
        self.is_done = True
        self.label = "end"
        self._has_stopped.release()

    # -- called in the thread itself

    def pause(self, label: str, condition: Callable[[], bool] = _ALWAYS, *, ends_transaction: bool = False) -> None:
        """Stop before a step. An abandoned thread still ends its transaction."""
        if self._unwinding or (self._abandoned and ends_transaction):
            return
        if not self._abandoned:
            self.label, self.condition = label, condition
            self._has_stopped.release()
            self._continue.acquire()
        if self._abandoned and not ends_transaction:
            self._unwinding = True
            raise Abandoned
        if label in _TIMED:
            self.history.append((label, self._clock()))

    # -- called by the explorer

    @property
    def is_ready(self) -> bool:
        return not self.is_done and not self.is_blocked and self.condition()

    def resume(self) -> None:
        """Run the next step, until `stops`."""
        self._continue.release()

    def stops(self, seconds: float) -> bool:
        """Wait until the thread stops before another step, or has ended."""
        return self._has_stopped.acquire(timeout=seconds)

    def abandon(self) -> None:
        """Let the thread end. A blocked one ends after the thread that blocks it."""
        self._abandoned = True
        if not self.is_done and not self.is_blocked:
            self._continue.release()

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive(), f"{self.name} does not end"

    def position(self) -> tuple[object, ...]:
        """The part of the explored state that belongs to this thread."""
        return self.finished_calls, self.label, self.is_blocked, tuple(self.history)
