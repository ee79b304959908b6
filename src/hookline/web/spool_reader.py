"""Reads the spool for the pages, beside a running relay, through connections that cannot write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from hookline.errors import SpoolUnusable
from hookline.observe.drain import DrainStatus
from hookline.observe.snapshot import LaneStatus, RelayStatus, SpoolProcesses, SpoolStatus
from hookline.observe.spool_owners import lanes_of
from hookline.relay.delivery_record import DeadLetter
from hookline.relay.spool.activity import MinuteActivity, minute_of
from hookline.relay.spool.admin import Count, Filter, SpoolStatistics, Trace
from hookline.relay.spool.factory import is_missing_directory, spool_store
from hookline.web.letters_view import LetterPageEnd, letter_identity
from hookline.web.plots import PLOT_MINUTES

# Several browsers that show the same facts cost one read.
STATUS_KEPT_SECONDS: Final = 0.5
# The same for plots and forecasts, which change with each minute.
HOUR_KEPT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class SpoolView:
    """The spool and its processes at one moment. `lanes` are those of running relays, by webhook."""

    status: SpoolStatus
    processes: SpoolProcesses
    lanes: dict[str, LaneStatus]

    @property
    def relay(self) -> tuple[str | None, RelayStatus | None]:
        return self.processes.relay


@dataclass(frozen=True, slots=True)
class SpoolHour:
    """The last hour of the spool until `minute`, and how long its backlogs take."""

    minute: int
    activity: Sequence[MinuteActivity]
    drain: DrainStatus


ReadDrain = Callable[[SpoolStatistics, SpoolStatus, RelayStatus | None, SpoolProcesses], DrainStatus]


class SpoolReader:
    """Any thread may call it. Every call raises SpoolUnusable if the spool does not exist or cannot be read.

    `read_drain` makes the forecast from the statistics and the status.
    """

    def __init__(self, location: str, read_drain: ReadDrain) -> None:
        self._location = location
        self._read_drain = read_drain
        self._hour: tuple[float, SpoolHour] | None = None
        self._lock = threading.Lock()
        self._statistics: SpoolStatistics | None = None
        self._view: tuple[float, SpoolView] | None = None

    def view(self) -> SpoolView:
        with self._lock:
            now = time.monotonic()
            if self._view is None or now - self._view[0] > STATUS_KEPT_SECONDS:
                self._view = (now, self._read())
            return self._view[1]

    def hour(self) -> SpoolHour:
        view = self.view()
        with self._lock:
            now = time.monotonic()
            if self._hour is None or now - self._hour[0] > HOUR_KEPT_SECONDS:
                statistics, minute = self._opened(), minute_of(view.status.at)
                activity = statistics.activity(minute - PLOT_MINUTES + 1)
                drain = self._read_drain(statistics, view.status, view.relay[1], view.processes)
                self._hour = (now, SpoolHour(minute, activity, drain))
            return self._hour[1]

    def _opened(self) -> SpoolStatistics:
        if self._statistics is None:
            self._statistics = spool_store(self._location).statistics()
        return self._statistics

    def _read(self) -> SpoolView:
        self._require()
        statistics = self._opened()
        status, processes = statistics.spool_status(now=time.time()), statistics.processes()
        return SpoolView(status, processes, lanes_of(status, processes.relay[1], processes))

    def newest_letters(
        self, chosen: Filter, limit: int, *, skip: int = 0, after: LetterPageEnd | None = None
    ) -> tuple[Sequence[DeadLetter], Count]:
        """At most `limit` dead letters after the `skip` newest, and the count of all. Raises WrongUse for an unknown
        id. With `after`, letters of later times do not count as newest."""
        self._require()
        with spool_store(self._location).dead_letter_queries() as dead:
            newest = dead.newest(chosen if after is None else chosen.up_to(after.at), limit=skip + limit)
            return list(islice(newest, skip, None)), dead.count(chosen)

    def letter_identities(self, limit: int) -> Sequence[str]:
        """The ids of the newest dead letters. Their payloads are not kept: each may have a megabyte."""
        self._require()
        with spool_store(self._location).dead_letter_queries() as dead:
            return [letter_identity(one) for one in dead.newest(Filter(), limit=limit)]

    def trace(self, wanted: str) -> Trace:
        self._require()
        return spool_store(self._location).trace_search().trace(wanted)

    def _require(self) -> None:
        if is_missing_directory(self._location):
            raise SpoolUnusable(
                f"spool not found: {self._location}",
                hint="start a relay, which creates it, or name another with --spool or HOOKLINE_SPOOL",
            )
