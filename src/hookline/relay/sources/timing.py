"""The clocks and waits of the sources. A deterministic simulation passes its own."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol


class DirectoryEvent(NamedTuple):
    """A change in a watched directory.

    Attributes:
        watch: the number of the watch.
        name: the name in the directory that appeared, moved, or belongs to a file that was written.
        is_write: a file was written or truncated, and no name has changed.
        is_lost: the directory was removed or renamed. No more events follow if it was removed.
        is_overflow: events of any directory were dropped. `watch` and `name` have no meaning.
    """

    watch: int
    name: str
    is_write: bool
    is_lost: bool
    is_overflow: bool


class DirectoryWatcher(Protocol):
    """Reports changes in directories as hints: on a network file system, changes by other machines are missing.

    `descriptor` is readable when `take` returns events.
    """

    descriptor: int

    def watch(self, directory: str) -> int:
        """Begins to watch a directory. Returns the number of its watch, which is the same for the same directory
        under any name. Raises OSError.
        """

    def unwatch(self, watch: int) -> None:
        """Ends a watch, if it still exists."""

    def take(self) -> list[DirectoryEvent]:
        """Returns some of the events since the last call, without a wait."""

    def close(self) -> None:
        """Ends all watches. Called once."""


def _poll(descriptors: Sequence[int], seconds: float) -> list[int]:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | select.POLLPRI)
    # A negative time would wait without end.
    return [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]


def _open_watcher() -> DirectoryWatcher:
    from hookline.relay.sources.watching.inotify import Inotify  # noqa: PLC0415  (only --follow needs ctypes)

    return Inotify.open()


@dataclass(frozen=True, slots=True)
class Timing:
    """Time in seconds: Unix time from `wall`, from any origin from `monotonic`.

    `poll` waits at most the given seconds, and returns the descriptors that are readable or were hung up.
    `open_watcher` raises OSError if directories cannot be watched. `wait_seconds` is the longest wait of
    LineSource.read.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    poll: Callable[[Sequence[int], float], list[int]] = _poll
    open_watcher: Callable[[], DirectoryWatcher] = _open_watcher
    wait_seconds: float = 60.0


SYSTEM_TIMING: Final = Timing()
