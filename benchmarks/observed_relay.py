"""Starts a relay and notes the processor time of its threads, for `threads.py`.

    python benchmarks/observed_relay.py thread|loop SECONDS relay OPTION …

``thread`` is the relay as it is. With ``loop``, the thread of the event loop runs the SQL of the spool, and a helper
thread runs only syncs and checkpoints. If SECONDS is above 0, one commit takes so long, as on a disk that stalls.

At its end the relay writes `observed.json` into the working directory: the processor time of each thread in seconds
by name (``start`` is the loop's thread before the loop begins), and as ``pause`` the longest pause of the event loop.
Pauses are measured only if a commit stalls.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, cast

from hookline.__main__ import start
from hookline.relay.one_thread import OneThread
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.sqlite import database, sqlite_spool
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.storage_access import REAL_ACCESS

STALLED_COMMIT: Final = 300
FIRST_PROBE_SECONDS: Final = 0.3  # after the relay has read its state
PROBE_SECONDS: Final = 0.005
OBSERVED_FILE: Final = "observed.json"
CHECKPOINT_PAGES: Final = database._CHECKPOINT_PAGES
# The last frame of the write-ahead log, and the last one that the database has, in the first bytes of the log's index
# (https://www.sqlite.org/walformat.html#the_wal_index_header).
_LAST_FRAME, _COPIED_FRAME = 16, 96
_FRAME: Final = struct.Struct("=I")


class SqlOnLoop:
    """Replaces the thread of the spool.

    No transaction is synced by itself. After one that must be, the helper syncs the log before the call returns. It
    also copies the log into the database: first beside transactions, then the rest while none may run, so that the
    log begins again.
    """

    def __init__(self) -> None:
        self._helper = OneThread("helper")
        self._writable = asyncio.Lock()
        self._checkpoint: asyncio.Task[None] | None = None
        self._must_sync = False
        self._path: Path | None = None

    def install(self) -> None:
        synced_transaction = database.transaction

        def transaction(connection: sqlite3.Connection, *, synced: bool = True) -> Any:
            self._must_sync |= synced
            return synced_transaction(connection, synced=False)

        async def run_once(_: SpoolThread, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return await self._run(function, *args, **kwargs)

        def sync(spool: SqliteSpool) -> bool:
            self._path = spool._path
            self._must_sync |= spool._unsynced
            spool._unsynced = False
            return True

        database._CHECKPOINT_PAGES = 0
        for place, name, own in (
            (sqlite_spool, "transaction", transaction),
            (SpoolThread, "run_once", run_once),
            (SpoolThread, "close", lambda _: self._helper.shutdown()),
            (SqliteSpool, "_sync", sync),
        ):
            setattr(place, name, own)

    async def _run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        async with self._writable:
            result = function(*args, **kwargs)
        if self._must_sync and self._path is not None:
            self._must_sync = False
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._helper, database.sync_log, self._path, REAL_ACCESS)
            if (self._checkpoint is None or self._checkpoint.done()) and _missing(self._path) >= CHECKPOINT_PAGES:
                self._checkpoint = loop.create_task(self._copy_log(self._path))
        else:
            await asyncio.sleep(0)
        return result

    async def _copy_log(self, path: Path) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._helper, _checkpoint, path)
        async with self._writable:
            await loop.run_in_executor(self._helper, _checkpoint, path)


def _checkpoint(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    connection.close()


def _missing(path: Path) -> int:
    """The number of frames of the log that the database does not have."""
    with Path(f"{path}-shm").open("rb") as index:
        header = index.read(_COPIED_FRAME + _FRAME.size)
    last, copied = (cast(int, _FRAME.unpack_from(header, at)[0]) for at in (_LAST_FRAME, _COPIED_FRAME))
    return last - copied


def stall(seconds: float) -> None:
    """Let one commit of the spool take `seconds`."""
    commits = 0

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
            nonlocal commits
            if statement == "COMMIT":
                commits += 1
                if commits == STALLED_COMMIT:
                    time.sleep(seconds)
            return super().execute(statement, parameters)

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        return sqlite3.connect(*args, factory=Connection, **options)

    object.__setattr__(REAL_ACCESS, "connect", connect)


class Observer:
    """Notes what the process does until its end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def note_threads(self) -> None:
        run_forever, run_calls = asyncio.BaseEventLoop.run_forever, OneThread._run

        @wraps(run_forever)
        def run_loop(loop: asyncio.BaseEventLoop) -> None:
            begin = time.thread_time()
            self.seconds.setdefault("start", begin)
            run_forever(loop)
            self.seconds["loop"] = self.seconds.get("loop", 0.0) + time.thread_time() - begin

        @wraps(run_calls)
        def run_thread(thread: OneThread) -> None:
            run_calls(thread)
            self.seconds[thread._name] = time.thread_time()

        setattr(asyncio.BaseEventLoop, run_forever.__name__, run_loop)
        setattr(OneThread, run_calls.__name__, run_thread)

    def note_pauses(self) -> None:
        run_forever = asyncio.BaseEventLoop.run_forever

        @wraps(run_forever)
        def run_loop(loop: asyncio.BaseEventLoop) -> None:
            def probe(due: float) -> None:
                self.seconds["pause"] = max(self.seconds.get("pause", 0.0), loop.time() - due)
                loop.call_later(PROBE_SECONDS, probe, loop.time() + PROBE_SECONDS)

            loop.call_later(FIRST_PROBE_SECONDS, lambda: probe(loop.time()))
            run_forever(loop)

        setattr(asyncio.BaseEventLoop, run_forever.__name__, run_loop)

    def write(self) -> None:
        Path(OBSERVED_FILE).write_text(json.dumps(self.seconds))


def main() -> None:
    way, seconds = sys.argv[1], float(sys.argv[2])
    del sys.argv[1:3]
    observer = Observer()
    observer.note_threads()
    if way == "loop":
        SqlOnLoop().install()
    if seconds > 0:
        stall(seconds)
        observer.note_pauses()
    try:
        start()
    finally:
        observer.write()


if __name__ == "__main__":
    main()
