"""The disk of a simulated machine: real SQLite files, whose commits can fail, be cut by a kill, or be lost.

The files are real, in a directory in memory if the machine has one. A power cut keeps a prefix of the write-ahead log
that contains the synced part. The crash images in tests/crash_images cover the other legal states of a disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hookline.relay.spool.sqlite.database import DATABASE_FILE
from simulation.checks.spool_view import SpoolView, open_view
from simulation.storage import PlannedFaults, StorageFaults
from simulation.world import World
from simulation.write_ahead_log import LogState, WriteAheadLog

RESERVE_BYTES: Final = 64 * 1024
_IOERR_FSYNC: Final = 1034  # https://www.sqlite.org/rescode.html


class Killed(BaseException):
    """Ends the process. It derives from BaseException, so that no handler of the relay takes it for an error."""


class SimulatedDisk(PlannedFaults):
    """The disk with one spool in `directory`. Implements SimulatedStorage.

    Attributes:
        spool: The directory of the spool.
        checkpoint_pages: SQLite moves the log into the database after this many pages.
    """

    def __init__(self, directory: Path, world: World, *, checkpoint_pages: int) -> None:
        super().__init__(world)
        self.spool = directory
        self.checkpoint_pages = checkpoint_pages
        self._operator = False
        self._log = WriteAheadLog(directory / DATABASE_FILE)
        self._failed: LogState | None = None
        self._connections: list[SimulatedConnection] = []

    # -- the functions that the store calls

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """As sqlite3.connect."""
        connection: SimulatedConnection = sqlite3.connect(*args, **options, factory=SimulatedConnection)
        connection.disk = self
        self._connections = [one for one in self._connections if not one.closed]
        self._connections.append(connection)
        return connection

    def sync(self, descriptor: int) -> None:
        """As os.fsync, of the write-ahead log."""
        if self._world.chance(self.faults.failed_sync):
            self._world.note("disk: the sync of the log failed")
            raise OSError(5, "Input/output error")
        self._log.mark_synced()

    # -- faults

    @property
    def has_failed_commit(self) -> bool:
        """A commit is written whose sync failed: the relay acknowledged nothing of it, and no later sync holds it."""
        if self._failed is not None:
            self._log.observe()
            if self._log.synced >= self._failed.end or self._log.state().salts != self._failed.salts:
                self._failed = None
        return self._failed is not None

    # -- commits

    def commit(self, run: Callable[[], Any], connection: SimulatedConnection) -> Any:
        """One COMMIT, with the faults that are active. `run` commits."""
        self._fail_commit(run, connection)
        moment = "" if self._operator else self._kill_moment("before", "in", "after")
        if moment == "before":
            self._kill(self.image())
        before = self._log.state()
        result = run()
        self._log.observe()
        if connection.synced:
            self._log.mark_synced()
        if moment == "in":
            self._kill(self._torn_image(before))
        if moment == "after":
            self._kill(self.image())
        return result

    def _fail_commit(self, run: Callable[[], Any], connection: SimulatedConnection) -> None:
        """Raise the error of an active fault, if chance wants it."""
        faults, chance = (StorageFaults(), self._never) if self._operator else (self.faults, self._world.chance)
        if chance(faults.full):
            self._world.note("disk: full")
            connection.execute("ROLLBACK")
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)
        if connection.synced and chance(faults.failed_sync):
            # The transaction is written, or it is not: both are legal after a sync that failed.
            written = chance(0.5)
            self._world.note(f"disk: the sync of a commit failed, the commit is {'' if written else 'not '}written")
            if written:
                run()
                self._log.observe()
                self._failed = self._log.state()
            else:
                connection.execute("ROLLBACK")
            raise _error("disk I/O error", _IOERR_FSYNC)

    @staticmethod
    def _never(probability: float) -> bool:
        return False

    @contextmanager
    def by_operator(self) -> Iterator[None]:
        """The commits of this block are those of another process, which has no faults."""
        self._operator = True
        try:
            yield
        finally:
            self._operator = False
            self._world.job_seconds = 0.0  # the time of another process

    def _kill(self, image: dict[str, bytes]) -> None:
        self.killed_image = image
        raise Killed

    # -- crashes

    def image(self) -> dict[str, bytes]:
        """The files of the spool as a killed process leaves them."""
        return {
            path.name: path.read_bytes()
            for path in sorted(self.spool.iterdir())
            if not path.name.endswith("-shm") and path.name not in ("lock", "reserve")
        }

    def _torn_image(self, before: LogState) -> dict[str, bytes]:
        """The files when a kill interrupts a commit: the log has any part of the commit, but not all of it."""
        after, image = self._log.state(), self.image()
        if before.salts in (b"", after.salts) and before.in_database == after.in_database:
            self._log.cut(image, self._world.random.randint(before.end, max(before.end, after.end - 1)))
        return image

    def power_cut_image(self) -> dict[str, bytes]:
        """The files after a power cut: the log keeps its synced part, and any part of the rest."""
        self._log.observe()
        image = self.image()
        synced, end = self._log.synced, self._log.state().end
        kept = self._world.random.randint(synced, end)
        self._world.note(f"disk: power cut, {end - kept} of {end - synced} unsynced bytes are lost")
        self._log.cut(image, kept)
        return image

    def restore(self, image: dict[str, bytes]) -> None:
        """Make these the files of the spool. No connection has them open afterwards."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self.killed_image = None
        for path in list(self.spool.iterdir()):
            path.unlink()
        for name, data in image.items():
            (self.spool / name).write_bytes(data)
            (self.spool / name).chmod(0o600)
        self._log.begin(len(image.get(self._log.name, b"")))
        self._failed = None

    # -- readers past the faults

    @contextmanager
    def view(self) -> Iterator[SpoolView | None]:
        """A view of the spool for the checks. It is None if no relay has created the spool yet."""
        with open_view(self.spool) as view:
            yield view

    @contextmanager
    def view_of_copy(self) -> Iterator[SpoolView | None]:
        """A view of a copy, for the files that a process left: opening them would repair them."""
        copy = self.spool.with_name("image")
        copy.mkdir(exist_ok=True)
        for path in list(copy.iterdir()):
            path.unlink()
        for name, data in self.image().items():
            (copy / name).write_bytes(data)
        with open_view(copy) as view:
            yield view


class SimulatedConnection(sqlite3.Connection):
    """A connection whose commits go through the disk."""

    disk: SimulatedDisk
    synced = True
    closed = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql == "COMMIT":
            result: sqlite3.Cursor = self.disk.commit(lambda: super(SimulatedConnection, self).execute(sql), self)
            return result
        if sql.startswith("PRAGMA synchronous"):
            self.synced = "FULL" in sql
        elif sql.startswith("PRAGMA wal_autocheckpoint"):
            sql = f"PRAGMA wal_autocheckpoint = {self.disk.checkpoint_pages}"
        return super().execute(sql, parameters)

    def close(self) -> None:
        self.closed = True
        super().close()


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error
