"""The source of a run with --follow: files that grow, rotate and appear, and pipes that writers open and close."""

from __future__ import annotations

import resource
from collections import deque
from collections.abc import Sequence

from hookline.errors import HooklineError
from hookline.relay.sources.files.read_context import ReadContext, ReadingStopped
from hookline.relay.sources.followed_names import FollowedNames
from hookline.relay.sources.pipe_reader import PipeReader
from hookline.relay.sources.rotated_log import RotatedLog
from hookline.relay.sources.source import START_POSITION, Batch, SourceLag
from hookline.relay.sources.watching.changed_logs import ChangedLogs

# Between two rounds of checks of all files. It doubles from round to round while nothing is read. inotify reports
# most changes before the next round; the rounds find the rest, for example changes by another machine.
MIN_READ_INTERVAL_SECONDS = 0.02
MAX_READ_INTERVAL_SECONDS = 1.0
# So long after a report the system is expected to report the further changes of the same log.
REPORTED_SECONDS = 1.0
# A check of a file costs a few microseconds. With many files the rounds are therefore farther apart, and a round
# checks only every second one of those that have not changed for some rounds.
READ_INTERVAL_PER_FILE_SECONDS = 0.0004
MAX_ROUND_SECONDS = 10.0
SCAN_INTERVAL_SECONDS = 1.0  # between searches for new files in directories and patterns
SCAN_SHARE = 0.02  # the largest part of a core that these searches may take
SLICE_SECONDS = 0.02  # after this time of checks, available lines are read before the next checks
MAX_OPEN_FILES = 512
CHECK_FAILED = "file cannot be inspected, will try again"


class FollowSource:
    """Implements LineSource. Reads logs and pipes in turn, so that a long one does not delay the others."""

    def __init__(self, names: Sequence[str], context: ReadContext) -> None:
        # Half of the system's limit, because the spool and the connections need descriptors, too.
        max_open = min(MAX_OPEN_FILES, max(8, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        self._names = FollowedNames(list(names), context, max_open=max_open)
        self._context = context
        self._logger = context.logger
        self._timing = context.timing
        self._changed = ChangedLogs(context)
        self._turns: deque[RotatedLog | PipeReader] = deque()
        self._unchecked: deque[RotatedLog] = deque()
        self._interval = MIN_READ_INTERVAL_SECONDS
        self._next_round = self._next_scan = self._earliest_scan = 0.0
        self._is_scan_wanted = False
        self._round = 0
        self._reads = 0  # and checks
        self._lags: tuple[tuple[int, ...], list[SourceLag]] = (), []
        self._bytes = 0

    def read(self) -> Batch:
        try:
            return self._read()
        except ReadingStopped:
            return self._drain_pipes()

    def _read(self) -> Batch:
        deadline = self._timing.monotonic() + self._timing.wait_seconds
        while True:
            self._context.stop.check()
            now = self._timing.monotonic()
            self._check_changed(now)
            self._check_files(now)
            if (batch := self._next_turn(now)) is not None:
                return batch
            if self._names.has_ended:
                return Batch("", [], START_POSITION, True)
            if (now := self._timing.monotonic()) >= deadline:
                return Batch("", [], START_POSITION, False)
            if not self._turns and not self._unchecked:
                self._wait(now, min(deadline, self._next_check))

    @property
    def _next_check(self) -> float:
        return min(self._next_round, self._earliest_scan) if self._is_scan_wanted else self._next_round

    def _wait(self, now: float, until: float) -> None:
        """Waits for data of a pipe, a change of a file, the end of the run, or a time."""
        # A pipe without writers would always be ready. It is read in every round.
        polled = {pipe.descriptor: pipe for pipe in self._names.pipes if not pipe.has_no_writers}
        others = [self._context.stop.descriptor]
        if now < self._changed.next_take:
            until = min(until, self._changed.next_take)
        else:
            others += self._changed.descriptors
        ready = self._timing.poll([*polled, *others], until - now)
        self._turns += [polled[descriptor] for descriptor in ready if descriptor in polled]

    def lags(self) -> list[SourceLag]:
        # The list is kept until a file is read: with ten thousand files it is expensive. The number is older than the
        # list, so that a read in between makes the next call list them again.
        logs, pipes = self._names.logs, self._names.pipes
        version = self._reads, len(logs), len(pipes)
        if self._lags[0] != version:
            of_files = [lag for log in tuple(logs.values()) for lag in log.lags()]
            self._lags = version, of_files + [pipe.lag() for pipe in tuple(pipes)]
        return self._lags[1]

    def progress(self) -> tuple[int, int | None]:
        return self._bytes, None

    def unfinished(self) -> list[tuple[str, int]]:
        """Returns the incomplete lines of pipes. Incomplete lines of files remain in the file."""
        pipes = self._names.pipes if self._context.stop.requested else []
        return [(pipe.name, pipe.unfinished_bytes) for pipe in pipes if pipe.unfinished_bytes]

    def stray_bytes(self) -> int:
        return self._context.stray.total

    def already_read(self) -> list[str]:
        return []

    def finish(self) -> None:
        self._context.stop.request()

    def _drain_pipes(self) -> Batch:
        """Returns the lines that were taken from pipes. Lines of files remain in the files."""
        for pipe in self._names.pipes:
            pipe.finish()
            if lines := pipe.read(0):
                return Batch(pipe.name, lines, pipe.take_position(), False)
        return Batch("", [], START_POSITION, True)

    def close(self) -> None:
        self._names.close()
        self._changed.close()
        self._context.stop.close()

    def _check_changed(self, now: float) -> None:
        """Checks the logs of which the system reports a change."""
        logs, others_changed, any_lost = self._changed.take(now, self._names.logs)
        for log, is_write in logs.items():
            log.reported_at = now
            if not is_write:
                self._check(log, now)
        if logs:
            self._turns = deque(dict.fromkeys((*self._turns, *logs)))
        self._is_scan_wanted |= others_changed and self._names.has_patterns
        if any_lost:
            self._next_round = now

    def _check_files(self, now: float) -> None:
        """Checks the files, in a round at each interval. Takes at most a slice of time, and continues later."""
        if not self._unchecked and self._is_scan_wanted and now >= self._earliest_scan:
            self._unchecked.extend(self._scan(now))
        if not self._unchecked:
            if now < self._next_round:
                return
            interval = self._round_seconds(self._interval)
            self._interval = min(2 * self._interval, MAX_READ_INTERVAL_SECONDS)
            self._next_round = now + interval
            self._begin_round(now, interval)
        until = now + SLICE_SECONDS
        changed = []
        while self._unchecked and (now := self._timing.monotonic()) < until:
            log = self._unchecked.popleft()
            if not log.last_check.is_unchanged(log.path):
                self._check(log, now)
            if not log.is_settled:
                changed.append(log)
            self._context.stop.check()
        self._turns = deque(dict.fromkeys((*self._turns, *changed)))

    def _round_seconds(self, interval: float) -> float:
        """Returns the time between two rounds: at least the interval, and more with many files."""
        seconds = len(self._names.logs) * READ_INTERVAL_PER_FILE_SECONDS
        return max(interval, min(seconds, MAX_ROUND_SECONDS))

    def _begin_round(self, now: float, interval: float) -> None:
        self._names.resolve()
        if now >= self._next_scan:
            self._scan(now)
        self._names.drop_empty_logs()
        self._changed.renew()
        self._round += 1
        may_skip = MAX_READ_INTERVAL_SECONDS < interval <= MAX_ROUND_SECONDS / 2
        self._unchecked = deque(
            log
            for index, log in enumerate(self._names.logs.values())
            if not (may_skip and log.last_check.is_quiet and (index + self._round) % 2)
        )
        self._turns = deque(dict.fromkeys((*self._turns, *self._names.pipes)))

    def _scan(self, now: float) -> list[RotatedLog]:
        """Searches for new files. Returns the logs with other files than before."""
        self._changed.add_directories(self._names.listed_directories)
        changed = self._names.scan()
        cost = self._timing.monotonic() - now
        self._earliest_scan = now + cost / SCAN_SHARE
        self._next_scan = max(self._earliest_scan, now + SCAN_INTERVAL_SECONDS)
        self._is_scan_wanted = False
        return changed

    def _check(self, log: RotatedLog, now: float) -> None:
        """Checks the names of a log. An error of the system, such as a stale handle, does not end the relay."""
        try:
            log.check_names(now)
        except OSError as error:
            self._names.report_failure(log.path, CHECK_FAILED, str(error))
            return
        finally:
            self._reads += 1
        self._names.clear_failure(log.path, CHECK_FAILED)
        self._changed.add(log)

    def _next_turn(self, now: float) -> Batch | None:
        if not self._turns:
            return None
        one = self._turns.popleft()
        batch = self._read_pipe(one) if isinstance(one, PipeReader) else self._read_log(one, now)
        self._reads += 1
        if batch is not None and batch.lines:
            self._bytes += sum(line.length for line in batch.lines)
            if isinstance(one, PipeReader) or now - one.reported_at > REPORTED_SECONDS:
                # More may follow soon, and the system may not report it.
                self._interval = MIN_READ_INTERVAL_SECONDS
                self._next_round = min(self._next_round, now + self._round_seconds(self._interval))
        return batch

    def _read_log(self, log: RotatedLog, now: float) -> Batch | None:
        try:
            batch, more = log.read(now)
        except OSError as error:
            self._logger.warning("file cannot be read, will try again", source=log.path, reason=str(error))
            return None
        if more:
            self._turns.append(log)
        return None if not batch.lines and batch.position is START_POSITION else batch

    def _read_pipe(self, pipe: PipeReader) -> Batch | None:
        try:
            lines = pipe.read(0)
        except HooklineError as error:
            self._logger.warning("pipe can no longer be read", source=pipe.name, reason=error.message)
            self._names.drop_pipe(pipe)
            return None
        position = pipe.take_position()
        if pipe.ended:
            self._names.drop_pipe(pipe)
        elif lines:
            self._turns.append(pipe)
        return Batch(pipe.name, lines, position, self._names.has_ended) if lines else None
