"""Sources that one process at a time reads: those of the relays with the same `--name` on a shared spool.

The others wait as standby. A reader that has lost its lease begins again: another process may have read on, so it
opens the sources at the positions that are stored now. It also begins again if the stored position is not the one
that it has written last: the database lost transactions, for example in a failover to an asynchronous standby.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hookline.relay.sources.files.read_context import StopRequest
from hookline.relay.sources.source import START_POSITION, Batch, LineSource, SourceLag, SourceLog
from hookline.relay.sources.timing import SYSTEM_TIMING, Timing

STANDBY_SECONDS = 1.0


class LeasedSource:
    """Implements LineSource. It reads through another source while this process holds the lease."""

    def __init__(
        self,
        take: Callable[[], int | None],
        open_source: Callable[[], LineSource],
        logger: SourceLog,
        *,
        name: str,
        on_standby: Callable[[], None] = lambda: None,
        timing: Timing = SYSTEM_TIMING,
    ) -> None:
        """Create it on standby.

        Args:
            take: Takes the lease. Returns its epoch, or None if another process has it. Called in the reader's
                thread, every second.
            open_source: Opens the sources at the stored positions. Called after each `take`.
            logger: Receives a line when the process becomes reader or standby.
            name: The name of the lease.
            on_standby: Called every second while another process has the lease, in the reader's thread.
            timing: The waits.
        """
        self._take = take
        self._open = open_source
        self._logger = logger
        self._name = name
        self._on_standby = on_standby
        self._source: LineSource | None = None
        self._epoch: int | None = None
        self._offsets: dict[bytes, int] = {}  # of the latest position of each content, by its key
        self._timing = timing
        self._waits = False
        self._is_lost = False
        self._finishing = False
        self._stop = StopRequest()

    def read(self) -> Batch:
        if self._is_lost:
            self._is_lost = False
            self._close_source()
            self._logger.warning("the lease of the sources was lost, another process may read them", name=self._name)
            self._timing.poll([self._stop.descriptor], STANDBY_SECONDS)
        if self._source is None and not self._begin():
            return Batch("", [], START_POSITION, self._finishing)
        assert self._source is not None
        batch = self._source.read()
        if self._is_lost:  # its lines are in the files
            return Batch("", [], START_POSITION, self._finishing)
        position = batch.position
        if position.inode and position.key:
            follows, self._offsets[position.key] = self._offsets.get(position.key), position.offset
            position = msgspec.structs.replace(position, follows=follows)
        return msgspec.structs.replace(batch, position=position, epoch=self._epoch, on_dropped=self._lose)

    def _begin(self) -> bool:
        """Take the lease and open the sources. Otherwise wait a second, as standby."""
        epoch = self._take()
        if epoch is None:
            if not self._waits:
                self._logger.info("standby: another process reads these sources", name=self._name)
            self._waits = True
            self._on_standby()
            self._timing.poll([self._stop.descriptor], STANDBY_SECONDS)
            return False
        if self._waits:
            self._logger.info("this process reads the sources now", name=self._name)
        self._waits = False
        self._epoch, self._source, self._offsets = epoch, self._open(), {}
        if self._finishing:
            self._source.finish()
        return True

    def _close_source(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.finish()
            source.close()

    def lags(self) -> list[SourceLag]:
        return [] if (source := self._source) is None else source.lags()

    def progress(self) -> tuple[int, int | None]:
        return (0, None) if (source := self._source) is None else source.progress()

    def stray_bytes(self) -> int:
        return 0 if (source := self._source) is None else source.stray_bytes()

    def unfinished(self) -> list[tuple[str, int]]:
        return [] if self._source is None else self._source.unfinished()

    def already_read(self) -> list[str]:
        return [] if self._source is None else self._source.already_read()

    def finish(self) -> None:
        self._finishing = True
        self._stop.request()
        if (source := self._source) is not None:
            source.finish()

    def close(self) -> None:
        self._close_source()
        self._stop.close()

    def _lose(self) -> None:
        """A batch was dropped. Called on the event loop. The current `read` ends, and the next one begins again."""
        self._is_lost = True
        if (source := self._source) is not None:
            source.finish()
