"""A run of a real spool, drawn from a seed: ingest, deliveries, retries, operators, checkpoints, restarts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Final

from builders import settlement
from crash_images.random_lines import ADDRESSES, SOURCES, RandomLines
from crash_images.record import Promise, Script
from crash_images.recorder import Recorder
from hookline.relay.delivery_record import FailedAttempt, add_failure
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.spool_values import (
    DequeueRequest,
    IngestBatch,
    NewDelivery,
    QueuedDelivery,
    Retention,
    Settlement,
    State,
)
from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetters
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.storage_access import StorageAccess
from hookline.relay.spool.sqlite.webhook_status import SqliteWebhookControl

SPOOL_DIRECTORY: Final = "spool"
_SYNC_SECONDS: Final = 0.5  # the port: results are on the disk half a second after the latest synced results
_DEDUPE_SECONDS: Final = 120.0
_RETENTION: Final = Retention(seconds=90.0, records=40)
_ALL: Final = 1000
# The calls of a run, and how often each one is drawn.
CALLS: Final = {
    "enqueue": 22, "settle": 34, "retry": 8, "sync": 7, "quiet_upkeep": 7, "clean_up": 4, "dead_letter": 2,
    "expire": 3, "replay": 4, "replay_lines": 4, "discard": 2, "pause": 2, "endpoint": 3, "disable": 2,
    "make_due": 2, "truncate_log": 3, "checkpoint": 3, "reader": 3, "reopen": 3,
}  # fmt: skip


class Workload:
    """Runs the spool below `root` and describes its input in `script`."""

    def __init__(
        self, root: Path, recorder: Recorder, seed: int, *, access: StorageAccess, again: bool = False
    ) -> None:
        """`access`: how the spool reaches the disk. `again`: the spool exists."""
        self.script = Script()
        self._directory = root / SPOOL_DIRECTORY
        self._recorder = recorder
        self._access = access
        self._random = Random(seed)
        self._now = 2_000_000.0 if again else 1_000_000.0
        self._sources = SOURCES[2:] if again else SOURCES[:2]
        self._synced_at = 0.0
        self._input = RandomLines(self._random, self.script)
        self._queued: dict[int, QueuedDelivery] = {}
        self._after = dict.fromkeys(ADDRESSES, 0)
        self._readers: list[sqlite3.Connection] = []

    def draw(self, calls: int) -> list[str]:
        """The names of the calls of a long run."""
        return self._random.choices(list(CALLS), list(CALLS.values()), k=calls)

    def run(self, calls: Iterable[str]) -> None:
        """Open a new spool, make the calls, and close it."""
        self._open()
        for name in calls:
            self._now += self._random.choice((0.01, 0.05, 0.2, 0.2, 0.6, 5.0, 30.0))
            getattr(self, f"_{name}")()
            if self._readers and self._random.random() < 0.4:
                self._readers.pop().close()
        self._close()

    @contextmanager
    def _call(self, name: str, promise: Promise = Promise.OWN) -> Iterator[None]:
        with self._recorder.call(name, promise):
            yield

    def _open(self) -> None:
        with self._call("open", Promise.ALL):
            self._spool = SqliteSpool(self._directory, self._access, since="now")
        self._queued.clear()
        self._after = dict.fromkeys(ADDRESSES, 0)
        self._synced_at = 0.0

    def _close(self) -> None:
        while self._readers:
            self._readers.pop().close()
        with self._call("close", Promise.ALL):
            self._spool.close()

    def _reopen(self) -> None:
        self._close()
        self._open()

    # -- ingest

    def _enqueue(self) -> None:
        source = self._random.choice(self._sources)
        self._send(self._input.batch(source, self._recorder.lines.get(source, 0) + 1))

    def _send(self, batch: IngestBatch) -> None:
        with self._call("enqueue"):
            self._spool.enqueue(batch, now=self._now, dedupe_window=_DEDUPE_SECONDS)
            if batch.position is not None:
                self._recorder.lines[batch.source] = batch.position.line

    def _replay_lines(self) -> None:
        """Replay all rejected lines, and read them as deliveries."""
        self._removing(self._mark_lines)
        found = self._spool.replayed_lines(limit=5)
        for one in found:
            self.script.removed_lines.add((one.source, one.line.number))
        if found:
            again = [NewDelivery(one.line.number, self._input.delivery(one.source, one.line.number)) for one in found]
            batch = IngestBatch(
                source=found[0].source, position=None, read=0, replaced_lines=[one.n for one in found],
                deliveries=again, skipped={}, rejected=[],
            )  # fmt: skip
            # These have no position: they may come at any time after their line.
            for new in again:
                self.script.removed.add(new.delivery.id)
            self._send(batch)

    def _mark_lines(self) -> None:
        with self._call("replay lines"), SqliteDeadLetters(self._directory, self._access) as letters:
            letters.replay(Filter(reason="not JSON"), now=self._now)

    # -- deliveries

    def _load(self) -> None:
        requests = [
            DequeueRequest(address, self._after[address], self._random.choice((2, 5, 20)), True)
            for address in ADDRESSES
        ]
        for one, (items, after) in zip(requests, self._spool.dequeue_new(requests), strict=True):
            self._after[one.address] = after
            self._queued.update({item.seq: item for item in items})

    def _retry(self) -> None:
        for address in ADDRESSES:
            due = self._spool.dequeue_due(address, now=self._now, limit=5, without=set(self._queued))
            self._queued.update({item.seq: item for item in due})
        self._settle()

    def _settle(self) -> None:
        if len(self._queued) < 3:
            self._load()
        chosen = self._random.sample(sorted(self._queued), min(len(self._queued), self._random.choice((1, 2, 4, 8))))
        if chosen:
            self._record_results([self._result(self._queued.pop(seq)) for seq in chosen])

    def _record_results(self, results: list[Settlement]) -> None:
        synced = not 0.0 <= self._now - self._synced_at < _SYNC_SECONDS
        with self._call("settle", Promise.ALL if synced else Promise.NOTHING):
            freed = self._spool.settle(results, now=self._now)
        self._queued.update({item.seq: item for item in freed})
        if synced:
            self._synced_at = self._now

    def _result(self, item: QueuedDelivery) -> Settlement:
        kind = self._random.random()
        if kind < 0.6:
            return settlement(item, State.DELIVERED, http=200, history=item.history)
        history = add_failure(item.history, FailedAttempt(self._now, item.attempts + 1, "http 503", 503))
        if kind < 0.75:
            return settlement(item, State.DEAD, reason="http 400", http=400, history=history)
        due = self._now + self._random.choice((0.1, 10.0, 100.0))
        return settlement(item, State.PENDING, due=due, reason="http 503", http=503, history=history)

    def _dead_letter(self) -> None:
        address = self._random.choice(ADDRESSES)
        with self._call("dead_letter"):
            self._spool.dead_letter(address, reason="gone", now=self._now, without=set(self._queued), limit=3)

    def _expire(self) -> None:
        address, limit = self._random.choice(ADDRESSES), self._random.choice((2, 9))
        with self._call("expire"):
            self._spool.expire(
                address, before=self._now - 60, now=self._now, without=set(self._queued), limit=limit
            )  # fmt: skip

    def _make_due(self) -> None:
        with self._call("make_due"):
            self._spool.make_due(self._random.choice(ADDRESSES), now=self._now, limit=3)

    # -- upkeep

    def _sync(self) -> None:
        """As each second in a relay."""
        with self._call("changed_by_others", Promise.ALL):
            self._spool.changed_by_others()

    def _quiet_upkeep(self) -> None:
        """Results that are not synced, upkeep that finds nothing to change, and the sync of each second."""
        self._enqueue()
        self._now += 0.01
        self._settle()
        for address in ADDRESSES:
            with self._call("expire"):
                self._spool.expire(address, before=0.0, now=self._now, without=(), limit=9)
        self._sync()

    def _clean_up(self) -> None:
        def clean_up() -> None:
            with self._call("clean_up", Promise.NOTHING):
                self._spool.clean_up(now=self._now, keep=_RETENTION, limit=self._random.choice((3, 50)))

        self._removing(clean_up)

    def _discard(self) -> None:
        def discard() -> None:
            with self._call("discard"), SqliteDeadLetters(self._directory, self._access) as letters:
                letters.discard(Filter(webhook=self._random.choice(ADDRESSES)), now=self._now)

        self._removing(discard)

    def _removing(self, change: Callable[[], None]) -> None:
        """Make a change, and note the rows that it removes."""
        before, lines_before = self._rows()
        change()
        after, lines_after = self._rows()
        self.script.removed |= before - after
        self.script.removed_lines |= lines_before - lines_after

    def _rows(self) -> tuple[set[bytes], set[tuple[str, int]]]:
        with self._reading() as connection:
            ids = {identity for (identity,) in connection.execute("SELECT id FROM delivery")}
            return ids, set(connection.execute("SELECT source, line FROM rejected"))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"{(self._directory / 'spool.db').as_uri()}?mode=ro", uri=True)) as connection:
            yield connection

    # -- operators

    def _replay(self) -> None:
        with self._call("replay"), SqliteDeadLetters(self._directory, self._access, chunk=4) as letters:
            letters.replay(Filter(webhook=self._random.choice(ADDRESSES)), now=self._now)

    def _pause(self) -> None:
        with self._call("pause"), SqliteWebhookControl(self._directory, self._access) as control:
            address = self._random.choice(ADDRESSES)
            if not control.pause(address, now=self._now):
                control.resume(address, now=self._now)

    def _disable(self) -> None:
        with self._call("set_disabled"):
            address = self._random.choice(ADDRESSES)
            self._spool.set_disabled(address, disabled=self._random.random() < 0.5, now=self._now)

    def _endpoint(self) -> None:
        with self._call("save_endpoint_state"):
            self._spool.save_endpoint_state(
                self._random.choice(ADDRESSES), gone_reason=None, gone_configuration=None,
                not_before=self._now + self._random.random(),
            )  # fmt: skip

    # -- checkpoints

    def _truncate_log(self) -> None:
        """As after a full disk."""
        with self._call("truncate the log", Promise.NOTHING):
            self._spool._truncate_log()

    def _checkpoint(self) -> None:
        """A checkpoint after which the next transaction writes the log from its start."""
        with (
            self._call("checkpoint", Promise.NOTHING),
            closing(sqlite3.connect(self._directory / "spool.db")) as other,
        ):
            other.execute(f"PRAGMA wal_checkpoint({self._random.choice(('RESTART', 'PASSIVE'))})")

    def _reader(self) -> None:
        """A command that reads for a while, so that checkpoints are incomplete."""
        connection = sqlite3.connect(f"{(self._directory / 'spool.db').as_uri()}?mode=ro", uri=True)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM delivery").fetchone()
        self._readers.append(connection)
