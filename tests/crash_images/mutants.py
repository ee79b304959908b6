"""Faults that are planted on purpose. The checks must catch each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from crash_images.record import Begun, Create, Rename, Returned, Step, Sync, SyncDirectory, Write
from hookline.relay.spool.spool_values import Enqueued, IngestBatch
from hookline.relay.spool.sqlite import sqlite_spool
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

_enqueue = SqliteSpool.enqueue


def _enqueue_without_sync() -> None:
    """The transaction of `enqueue` is not synced."""
    module: Any = sqlite_spool
    original = module.transaction

    def enqueue(self: SqliteSpool, batch: IngestBatch, **options: Any) -> Enqueued:
        module.transaction = lambda connection, **_: original(connection, synced=False)
        try:
            return _enqueue(self, batch, **options)
        finally:
            module.transaction = original

    SqliteSpool.enqueue = enqueue  # type: ignore[method-assign]


def _split_position(*, position_first: bool) -> Callable[[], None]:
    def plant() -> None:
        def enqueue(self: SqliteSpool, batch: IngestBatch, **options: Any) -> Enqueued:
            rows = msgspec.structs.replace(batch, position=None)
            position = IngestBatch(
                source=batch.source, position=batch.position, read=0, deliveries=(), skipped={}, rejected=()
            )
            first, second = (position, rows) if position_first else (rows, position)
            _enqueue(self, first, **options)
            return _enqueue(self, second, **options)

        SqliteSpool.enqueue = enqueue  # type: ignore[method-assign]

    return plant


IN_CODE: Final[dict[str, Callable[[], None]]] = {
    "enqueue is not synced": _enqueue_without_sync,
    "the position is written before its rows": _split_position(position_first=True),
    "the position is written after its rows": _split_position(position_first=False),
}


def plant_in_code(mutant: str) -> None:
    """Plant a fault in this process. Other names change nothing."""
    IN_CODE.get(mutant, lambda: None)()


def _inodes(steps: Sequence[Step], name: str) -> set[int]:
    """The files that have had the name."""
    found: set[int] = set()
    names: dict[str, int] = {}
    for step in steps:
        if isinstance(step, Create):
            names[step.name] = step.inode
        elif isinstance(step, Rename):
            names[step.new] = names.pop(step.old)
        if name in names:
            found.add(names[name])
    return found


def _without_log_syncs_before_checkpoints(steps: Sequence[Step]) -> Iterator[Step]:
    """A checkpoint writes the database although the log is not synced."""
    logs, databases = _inodes(steps, "spool/spool.db-wal"), _inodes(steps, "spool/spool.db")
    for number, step in enumerate(steps):
        following = next((one for one in steps[number + 1 :] if not isinstance(one, SyncDirectory)), None)
        before_checkpoint = isinstance(following, Write) and following.inode in databases
        if not (isinstance(step, Sync) and step.inode in logs and before_checkpoint):
            yield step


def _without_syncs_of(name: str) -> Callable[[Sequence[Step]], Iterator[Step]]:
    """The file is not synced after the spool was created."""

    def change(steps: Sequence[Step]) -> Iterator[Step]:
        inodes = _inodes(steps, name)
        created = next(number for number, step in enumerate(steps) if isinstance(step, Returned))
        for number, step in enumerate(steps):
            if number < created or not (isinstance(step, Sync) and step.inode in inodes):
                yield step

    return change


def _without_syncs_in(call: str) -> Callable[[Sequence[Step]], Iterator[Step]]:
    def change(steps: Sequence[Step]) -> Iterator[Step]:
        current = None
        for step in steps:
            if isinstance(step, Begun):
                current = step.call
            elif isinstance(step, Returned):
                current = None
            if not (isinstance(step, Sync) and current == call):
                yield step

    return change


def _without_directory_syncs(steps: Sequence[Step]) -> Iterator[Step]:
    """Names are never synced."""
    return (step for step in steps if not isinstance(step, SyncDirectory))


IN_THE_RECORD: Final[dict[str, Callable[[Sequence[Step]], Iterator[Step]]]] = {
    "a checkpoint does not sync the log first": _without_log_syncs_before_checkpoints,
    "a checkpoint does not sync the database": _without_syncs_of("spool/spool.db"),
    "the log is never synced": _without_syncs_of("spool/spool.db-wal"),
    "the sync of each second is missing": _without_syncs_in("changed_by_others"),
    "the directory is never synced": _without_directory_syncs,
}


def plant_in_record(mutant: str, steps: Sequence[Step]) -> list[Step]:
    """The steps as they are with the fault. Other names change nothing."""
    return list(IN_THE_RECORD.get(mutant, iter)(steps))
