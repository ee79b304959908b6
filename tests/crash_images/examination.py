"""Opens an image with the real spool, and checks each invariant that the image must hold on its own."""

from __future__ import annotations

import hashlib
import marshal
import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from crash_images.random_lines import ADDRESSES
from crash_images.record import Script
from crash_images.workload import SPOOL_DIRECTORY
from hookline.errors import SpoolUnusable
from hookline.relay.sources.source import Position
from hookline.relay.spool.spool_values import DequeueRequest, State
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.storage_access import StorageAccess
from spool_payloads import payload_problem

_TABLES: Final = {
    "delivery": "seq", "rejected": "n", "webhook": "n", "tally": "name", "position": "key, device, inode",
    "body": "seq",
}  # fmt: skip
_MANY: Final = 10_000
RESERVE_BYTES: Final = 4096  # each image that is opened reserves disk space

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Examination:
    """`state`: a hash of all rows; None: the spool does not open. `lines`: the position of each source."""

    state: bytes | None
    lines: Mapping[str, int]
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _View:
    """A part of the contents, as the spool shows it."""

    tally: Mapping[str, int]
    positions: Sequence[Position]
    sendable: Collection[int]


def write_image(root: Path, files: Mapping[str, bytes]) -> None:
    """Write the files below `root`, in place of those of another image."""
    directory = root / SPOOL_DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    for path in directory.iterdir():
        path.unlink()
    for name, content in files.items():
        descriptor = os.open(root / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)


class Examiner:
    """Examines images below `root`.

    Each image is opened and closed by a spool. That leaves a database without a log, and most images leave one of a
    few databases: each of these is examined once.
    """

    def __init__(self, root: Path, script: Script) -> None:
        self.examined: dict[_Key, Examination] = {}
        self._root = root
        self._directory = root / SPOOL_DIRECTORY
        self._script = script
        self._closed: dict[_Key, tuple[_View, Examination]] = {}

    def examine(self, files: Mapping[str, bytes]) -> Examination:
        key = _key(files)
        if key not in self.examined:
            write_image(self._root, files)
            self.examined[key] = self._open()
        return self.examined[key]

    def _open(self) -> Examination:
        try:
            view = _open_and_close(self._directory)
            key = _key({path.name: path.read_bytes() for path in self._directory.glob("spool.*")})
            if key not in self._closed:
                self._closed[key] = self._open_again()
            again, examination = self._closed[key]
        except (SpoolUnusable, sqlite3.DatabaseError) as error:
            return Examination(None, {}, (f"the spool opens without recovery: {error}",))
        if view != again:
            return replace(
                examination,
                violations=(*examination.violations, f"a second opening shows the same: {view} became {again}"),
            )
        return examination

    def _open_again(self) -> tuple[_View, Examination]:
        with closing(sqlite3.connect(self._directory / "spool.db", isolation_level=None)) as connection:
            sound = connection.execute("PRAGMA integrity_check").fetchall()
            foreign = connection.execute("PRAGMA foreign_key_check").fetchall()
            rows, payloads = _read(connection), payload_problem(connection)
        view = _open_and_close(self._directory)
        violations = [
            *(f"the database is sound: {found}" for found in (sound, foreign) if found not in ([("ok",)], [])),
            *([f"payloads are those of pending and dead deliveries: {payloads}"] if payloads else []),
            *_positions_cover_their_rows(rows, self._script),
            *_account_adds_up(rows, view.tally, self._script),
            *_order_is_kept(rows, view.sendable),
        ]
        state = hashlib.blake2b(marshal.dumps(rows, 2), digest_size=16).digest()
        return view, Examination(state, {one.name: one.line for one in view.positions}, tuple(violations))


_Key = tuple[tuple[str, int, int], ...]


def _key(files: Mapping[str, bytes]) -> _Key:
    """Equal for equal files. Python keeps the hash of an object, so that an unchanged file is hashed once."""
    return tuple((name, len(content), hash(content)) for name, content in sorted(files.items()))


def _open_and_close(directory: Path) -> _View:
    spool = SqliteSpool(directory, StorageAccess(reserve_bytes=RESERVE_BYTES), since="now")
    try:
        requests = [DequeueRequest(address, 0, _MANY, True) for address in ADDRESSES]
        sendable = frozenset(item.seq for items, _ in spool.dequeue_new(requests) for item in items)
        return _View(spool.tally(), spool.positions(), sendable)
    finally:
        spool.close()


def _read(connection: sqlite3.Connection) -> Rows:
    rows: Rows = {}
    for table, order in _TABLES.items():
        found = connection.execute(f"SELECT * FROM {table} ORDER BY {order}")
        names = [column[0] for column in found.description]
        rows[table] = [dict(zip(names, row, strict=True)) for row in found]
    return rows


def _positions_cover_their_rows(rows: Rows, script: Script) -> list[str]:
    """Ingest is exactly-once: each line up to the position has its rows, and no line after it has any."""
    lines = {row["name"]: row["line"] for row in rows["position"]}
    ids = {row["id"] for row in rows["delivery"]}
    lines_kept = {(row["source"], row["line"]) for row in rows["rejected"]}
    found = []
    for wanted, present, removed, what in (
        (script.first_lines, ids, script.removed, "delivery"),
        ({one: one for one in script.rejected_lines}, lines_kept, script.removed_lines, "rejected line"),
    ):
        covered = {key for key, (source, line) in wanted.items() if line <= lines.get(source, 0)}
        lost, early = covered - present - removed, present - covered - removed
        if lost:
            found.append(f"the position covers exactly its rows: {len(lost)} of kind {what} are missing")
        if early:
            found.append(f"the position covers exactly its rows: {len(early)} of kind {what} are not covered")
    return found


def _account_adds_up(rows: Rows, tally: Mapping[str, int], script: Script) -> list[str]:
    lines = {row["name"]: row["line"] for row in rows["position"]}
    states = Counter(row["state"] for row in rows["delivery"])
    settled = sum(
        count
        for name, count in tally.items()
        if name.split(":")[0] in ("delivered", "skipped", "rejected", "dead", "duplicates")
    )
    carried = tally.get("read", 0) + tally.get("replayed", 0)
    read = sum(n for (source, line), n in script.events.items() if line <= lines.get(source, 0))
    checks = {
        "read + carried = settled + pending": (carried, settled + states[State.PENDING]),
        "records": (tally.get("records", 0), states[State.DELIVERED] + states[State.DISCARDED]),
        "read = events before the positions": (tally.get("read", 0), read),
    }
    return [
        f"the account adds up: {name}: {left} != {right}" for name, (left, right) in checks.items() if left != right
    ]


def _order_is_kept(rows: Rows, sendable: Collection[int]) -> list[str]:
    """No delivery was accepted, or may be sent, before a pending one of its message."""
    first: dict[int, int] = {}
    for row in rows["delivery"]:
        if row["state"] == State.PENDING and row["order_key"] is not None:
            first.setdefault(row["order_key"], row["seq"])
    return [
        f"order per message: {row['seq']} overtakes {first[row['order_key']]}"
        for row in rows["delivery"]
        if (row["state"] == State.DELIVERED or row["seq"] in sendable)
        and row["seq"] > first.get(row["order_key"], row["seq"])
    ]
