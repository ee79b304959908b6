"""The version check and the migration hook of a state in a file, with a migration that the tests register."""

from __future__ import annotations

import logging
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from builders import document
from hookline.errors import Stale, StateUnusable
from hookline.model import Address
from hookline.state.drift import find_drift
from hookline.state.history_chain import entry_hash, find_breaks, genesis_hash
from hookline.state.rows import read_history
from hookline.state.sqlite_schema import MIGRATIONS, STATE_FORMAT
from hookline.state.sqlite_store import SqliteStore
from hookline.state.store import EMPTY, HistoryEntry

PROD = Address("acme", "prod")
DOCUMENT = document()
CHANGES = ({"address": "acme/prod", "action": "create", "after": DOCUMENT, "fields": []},)
OLD = 0
# Format 0 of these tests: history has no column `note`, and no hash.
TO_FORMAT_0 = """
ALTER TABLE history DROP COLUMN note;
ALTER TABLE history DROP COLUMN hash;
UPDATE meta SET format = 0;
"""


def add_columns(connection: sqlite3.Connection) -> None:
    """Format 0 → 1: seals the entries again."""
    rows = connection.execute("SELECT * FROM history ORDER BY serial").fetchall()
    (lineage,) = connection.execute("SELECT lineage FROM meta").fetchone()
    connection.execute("ALTER TABLE history ADD COLUMN note TEXT")
    connection.execute("ALTER TABLE history ADD COLUMN hash TEXT NOT NULL DEFAULT ''")
    previous = genesis_hash(lineage)
    for record in read_history((*row, None, "") for row in rows):
        previous = entry_hash(previous, record.serial, record.entry)
        connection.execute("UPDATE history SET hash = ? WHERE serial = ?", (previous, record.serial))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state of format 0 after two applies; a migration from format 0 is registered."""
    monkeypatch.setitem(MIGRATIONS, OLD, add_columns)
    path = tmp_path / "state.db"
    store = SqliteStore(path, new_lineage=lambda: "L")
    first = store.commit(EMPTY, {PROD: DOCUMENT}, entry("ada", changes=CHANGES))
    store.commit(first, {}, entry("ada", lifted=("guard",)))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(TO_FORMAT_0)
    return path


def store_at(path: Path) -> SqliteStore:
    return SqliteStore(path, new_lineage=lambda: "x", patience=timedelta(seconds=0.05))


def entry(who: str = "bob", changes: tuple[dict[str, Any], ...] = (), lifted: tuple[str, ...] = ()) -> HistoryEntry:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    return HistoryEntry(
        at=at, who=who, commit=None, branch=None, fingerprint="sha256:1", changes=changes, lifted=lifted
    )


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def stored_format(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("SELECT format FROM meta").fetchone()[0]
    return found


def test_an_older_format_is_read_without_writing(path: Path) -> None:
    """Webhooks, version and history of an older state are read in the current format; the file does not change."""
    before = path.read_bytes()
    store = store_at(path)
    stored, records = store.read(), store.history()
    assert ("L", 2) == store.version() == (stored.lineage, stored.serial)
    assert DOCUMENT == stored.webhooks[PROD].document
    assert [("ada", ()), ("ada", ("guard",))] == [(record.entry.who, record.entry.lifted) for record in records]
    assert not find_drift(stored, records)
    assert before == path.read_bytes()
    assert ["state.db"] == names(path)


def test_apply_migrates_after_a_copy(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An apply runs the migration and logs the path of the copy: private, and byte for byte the old state."""
    image, store = path.read_bytes(), store_at(path)
    before, history = store.read(), store.history()
    with caplog.at_level(logging.WARNING):
        written = store.commit(before, {}, entry())
    copy = path.with_name("state.db.format-0")
    assert ["state.db", "state.db.format-0"] == names(path)
    assert (0o600, image) == (stat.S_IMODE(copy.stat().st_mode), copy.read_bytes())
    assert (OLD, STATE_FORMAT) == (stored_format(copy), stored_format(path))
    assert written == store.read()
    assert history == store.history()[:2]
    assert [] == list(find_breaks("L", 3, store.history()))
    assert f"migrated to format {STATE_FORMAT}. A copy of the old one is {copy}." in caplog.text


def test_the_next_apply_migrates_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A state of the current format is applied to without a copy."""
    store = store_at(path)
    second = store.commit(store.read(), {}, entry())
    caplog.clear()
    store.commit(second, {}, entry())
    assert ["state.db", "state.db.format-0"] == names(path)
    assert "" == caplog.text


def test_every_step_runs_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that is two formats old runs both migrations, the older one first."""
    steps: list[int] = []

    def second(connection: sqlite3.Connection) -> None:
        steps.append(OLD)
        add_columns(connection)

    monkeypatch.setitem(MIGRATIONS, OLD, second)
    monkeypatch.setitem(MIGRATIONS, OLD - 1, lambda connection: steps.append(OLD - 1))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET format = -1")
    store_at(path).commit(store_at(path).read(), {}, entry())
    assert [OLD - 1, OLD] == steps[-2:]
    assert STATE_FORMAT == stored_format(path)


@pytest.mark.parametrize("ask", ["read", "version", "history", "commit"])
def test_a_format_without_migration_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch, ask: str) -> None:
    """A format that no migration starts from is refused (exit code 8) with a next step, and the file is kept."""
    monkeypatch.delitem(MIGRATIONS, OLD)
    before, store = path.read_bytes(), store_at(path)
    with pytest.raises(StateUnusable, match="before its first release") as refused:
        store.commit(EMPTY, {}, entry()) if ask == "commit" else getattr(store, ask)()
    assert 8 == refused.value.exit_code
    assert "move the file away" in str(refused.value.hint)
    assert before == path.read_bytes()
    assert ["state.db"] == names(path)


@pytest.mark.parametrize("ask", ["read", "version", "history", "commit"])
@pytest.mark.parametrize("written_in", [1, 2])
def test_a_file_of_an_earlier_build_is_refused(tmp_path: Path, ask: str, written_in: int) -> None:
    """Builds before the first release wrote other tables under the numbers 1 and 2: their mark gives them away."""
    path = tmp_path / "state.db"
    store_at(path).commit(EMPTY, {}, entry())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA application_id = 0x686B6C73")
        connection.execute("UPDATE meta SET format = ?", (written_in,))
    before = path.read_bytes()
    with pytest.raises(StateUnusable, match="before its first release"):
        store_at(path).commit(EMPTY, {}, entry()) if ask == "commit" else getattr(store_at(path), ask)()
    assert before == path.read_bytes()


def test_refused_apply_makes_no_copy(path: Path) -> None:
    """An apply onto a state that has moved is refused before anything is copied or migrated."""
    before = path.read_bytes()
    with pytest.raises(Stale):
        store_at(path).commit(EMPTY, {}, entry())
    assert ["state.db"] == names(path)
    assert before == path.read_bytes()


def test_copy_of_an_interrupted_apply_is_used_again(path: Path) -> None:
    """The same copy is not made twice. A different one is kept, and another copy is made beside it."""
    copy = path.with_name("state.db.format-0")
    with closing(sqlite3.connect(path)) as connection:
        copy.write_bytes(connection.serialize())
    before = copy.stat().st_mtime_ns
    aside = path.read_bytes()
    store_at(path).commit(store_at(path).read(), {}, entry())
    assert before == copy.stat().st_mtime_ns
    copy.write_text("somebody else's")
    path.write_bytes(aside)
    store_at(path).commit(store_at(path).read(), {}, entry())
    assert ["state.db", "state.db.format-0", "state.db.format-0.2"] == names(path)
    assert "somebody else's" == copy.read_text()


def test_copy_that_cannot_be_made_stops_the_apply(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a copy nothing is migrated: the message gives the reason, and the state stays as it was."""

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hookline.state.sqlite_schema.create_private_file", full)
    before = path.read_bytes()
    with pytest.raises(StateUnusable, match="its copy cannot be written: No space left"):
        store_at(path).commit(store_at(path).read(), {}, entry())
    assert before == path.read_bytes()


def test_unreadable_entry_stops_the_migration(path: Path) -> None:
    """A history entry that cannot be read is named, and the state stays in its format."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE history SET changes = '{' WHERE serial = 2")
    base = replace(EMPTY, lineage="L", serial=2)
    for attempt in (lambda: store_at(path).history(), lambda: store_at(path).commit(base, {}, entry())):
        with pytest.raises(StateUnusable, match="history entry of serial 2 cannot be read"):
            attempt()
    assert OLD == stored_format(path)


# Commits in forks of itself, each killed one SQL statement or file operation later than the one before.
KILLER = """
import os, shutil, signal, sqlite3, sys
from datetime import UTC, datetime
from pathlib import Path
from hookline.state.history_chain import find_breaks
from hookline.state.sqlite_schema import MIGRATIONS
from hookline.state.store import HistoryEntry
from hookline.state.sqlite_store import SqliteStore

def commit(store, who):
    at = datetime(2026, 12, 1, tzinfo=UTC)
    entry = HistoryEntry(at=at, who=who, commit=None, branch=None, fingerprint="", changes=())
    store.commit(store.read(), {}, entry)

def kill_after(steps):
    left = [steps]
    def step(*_):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    connect = sqlite3.connect
    def traced(*arguments, **named):
        connection = connect(*arguments, **named)
        connection.set_trace_callback(step)
        return connection
    sqlite3.connect = traced
    for name in ("fsync", "link", "unlink"):
        function = getattr(os, name)
        setattr(os, name, lambda *a, function=function, **n: (step(), function(*a, **n))[1])

def migration(connection):
    connection.execute("ALTER TABLE history ADD COLUMN note TEXT")
    connection.execute("ALTER TABLE history ADD COLUMN hash TEXT NOT NULL DEFAULT ''")
    for serial, sealed in HASHES:
        connection.execute("UPDATE history SET hash = ? WHERE serial = ?", (sealed, serial))

MIGRATIONS[0] = migration
place = Path("state.db")
store = SqliteStore(place, new_lineage=lambda: "x")
for steps in range(1000):
    shutil.copyfile("before", place)
    child = os.fork()
    if child == 0:
        kill_after(steps)
        commit(store, "bob")
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found, records = store.read(), store.history()
    assert list(find_breaks("L", found.serial, records)) == [], steps
    commit(store, "eve")
    assert list(find_breaks("L", found.serial + 1, store.history())) == [], steps
    print(found.serial, code)
    if code == 0:
        break
"""


def test_killed_at_every_step_of_a_migration(path: Path) -> None:
    """At whichever step a migrating apply dies, the state is the old or the new one, and the next goes through."""
    hashes = [(record.serial, record.hash) for record in store_at(path).history()]
    path.rename(path.with_name("before"))
    done = subprocess.run(
        [sys.executable, "-c", f"HASHES = {hashes}\n{KILLER}"],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "0") == (done.returncode, done.stdout.split()[-1]), done.stderr
    *killed, finished = done.stdout.splitlines()
    assert len(killed) > 15
    assert {"2 -9"} == {line for line in killed if line != "3 -9"}
    assert "3 0" == finished
