"""A state of format 1: read as it is, and brought to format 2 by the next apply, after a copy."""

from __future__ import annotations

import json
import logging
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hookline.errors import Stale, StateUnusable
from hookline.model import Address
from hookline.state.chain import breaks
from hookline.state.drift import find_drift
from hookline.state.port import Entry
from hookline.state.snapshot import EMPTY
from hookline.state.sqlite import SqliteStore

PROD = Address("acme", "prod")
DOCUMENT: dict[str, Any] = {
    "version": 1,
    "organization": "acme",
    "sandbox": "prod",
    "name": "Feedback",
    "channels": ["email"],
    "url": "https://hooks.acme.example/a",
    "campaigns": "all",
}
CHANGES = [{"address": "acme/prod", "action": "create", "after": DOCUMENT, "fields": []}]
# As hookline 0.1 wrote it before history had its chain.
FORMAT_1 = """
PRAGMA application_id = 0x686B6C73;
CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, lineage TEXT NOT NULL,
    serial INTEGER NOT NULL) STRICT;
CREATE TABLE webhooks (organization TEXT NOT NULL, sandbox TEXT NOT NULL, document TEXT NOT NULL,
    serial INTEGER NOT NULL, PRIMARY KEY (organization, sandbox)) STRICT, WITHOUT ROWID;
CREATE TABLE history (serial INTEGER PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, git_commit TEXT,
    git_branch TEXT, fingerprint TEXT NOT NULL, changes TEXT NOT NULL, lifted TEXT NOT NULL) STRICT;
INSERT INTO meta VALUES (1, 1, 'L', 2);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(FORMAT_1)
        connection.execute("INSERT INTO webhooks VALUES ('acme', 'prod', ?, 1)", (json.dumps(DOCUMENT),))
        row = ("2026-11-03T09:30:00.000Z", "ada", "c0ffee", None, "sha256:0")
        connection.execute("INSERT INTO history VALUES (1, ?, ?, ?, ?, ?, ?, '[]')", (*row, json.dumps(CHANGES)))
        connection.execute("""INSERT INTO history VALUES (2, ?, ?, ?, ?, ?, '[]', '["brake"]')""", row)
    return path


def store_at(path: Path) -> SqliteStore:
    return SqliteStore(path, new_lineage=lambda: "x", patience=timedelta(seconds=0.05))


def entry(who: str = "bob") -> Entry:
    return Entry(
        at=datetime(2026, 12, 1, tzinfo=UTC), who=who, commit=None, branch=None, fingerprint="sha256:1", changes=()
    )


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def stored_format(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("SELECT format FROM meta").fetchone()[0]
    return found


def test_format_1_is_read_without_writing(path: Path) -> None:
    """Webhooks, version and history of a format 1 state are read, and not a byte of it changes."""
    before = path.read_bytes()
    store = store_at(path)
    stored, records = store.read(), store.history()
    assert ("L", 2) == store.version() == (stored.lineage, stored.serial)
    assert DOCUMENT == stored.webhooks[PROD].document
    assert [("ada", ()), ("ada", ("brake",))] == [(record.entry.who, record.entry.lifted) for record in records]
    assert not find_drift(stored, records)
    assert before == path.read_bytes()
    assert ["state.db"] == names(path)


def test_apply_migrates_after_a_copy(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The next apply brings the state to format 2 and says where its copy is: private, and the state as it was."""
    store = store_at(path)
    before, history = store.read(), store.history()
    with caplog.at_level(logging.WARNING):
        written = store.commit(before, {}, entry())
    copy = path.with_name("state.db.format-1")
    assert ["state.db", "state.db.format-1"] == names(path)
    assert 0o600 == stat.S_IMODE(copy.stat().st_mode)
    assert (1, 2) == (stored_format(copy), stored_format(path))
    assert (before, history) == (store_at(copy).read(), store_at(copy).history())
    assert written == store.read()
    assert history == store.history()[:2]
    assert [] == list(breaks("L", 3, store.history()))
    assert [str(copy)] == [part for part in caplog.text.rstrip(".\n").split() if "format-1" in part]


def test_next_apply_migrates_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A state of format 2 is applied to without another copy."""
    store = store_at(path)
    second = store.commit(store.read(), {}, entry())
    caplog.clear()
    store.commit(second, {}, entry())
    assert ["state.db", "state.db.format-1"] == names(path)
    assert "" == caplog.text


def test_migrated_tables_are_those_of_a_new_state(path: Path, tmp_path: Path) -> None:
    """After a migration the tables have the columns, types and checks of a state that was made anew."""
    store_at(path).commit(store_at(path).read(), {}, entry())
    new = tmp_path / "new.db"
    store_at(new).commit(EMPTY, {}, entry())
    columns = []
    for each in (path, new):
        with closing(sqlite3.connect(each)) as connection:
            tables = connection.execute(
                "SELECT name, strict, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY 1"
            )
            columns.append(
                [(*table, connection.execute(f"PRAGMA table_info({table[0]})").fetchall()) for table in tables]
            )
    assert columns[0] == columns[1]


def test_refused_apply_makes_no_copy(path: Path) -> None:
    """An apply onto a state that has moved is refused before anything is copied or migrated."""
    before = path.read_bytes()
    with pytest.raises(Stale):
        store_at(path).commit(EMPTY, {}, entry())
    assert ["state.db"] == names(path)
    assert before == path.read_bytes()


def test_copy_of_an_interrupted_apply_is_used_again(path: Path) -> None:
    """The same copy is not made twice; one that differs is kept, and another made beside it."""
    copy = path.with_name("state.db.format-1")
    with closing(sqlite3.connect(path)) as connection:
        copy.write_bytes(connection.serialize())
    before = copy.stat().st_mtime_ns
    aside = path.read_bytes()
    store_at(path).commit(store_at(path).read(), {}, entry())
    assert before == copy.stat().st_mtime_ns
    copy.write_text("somebody else's")
    path.write_bytes(aside)
    store_at(path).commit(store_at(path).read(), {}, entry())
    assert ["state.db", "state.db.format-1", "state.db.format-1.2"] == names(path)
    assert "somebody else's" == copy.read_text()


def test_copy_that_cannot_be_made_stops_the_apply(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a copy nothing is migrated: the message says so, and the state stays as it was."""

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hookline.state.migrating.place", full)
    before = path.read_bytes()
    with pytest.raises(StateUnusable, match="a copy of it cannot be kept beside it: No space left"):
        store_at(path).commit(store_at(path).read(), {}, entry())
    assert before == path.read_bytes()


def test_unreadable_entry_stops_the_migration(path: Path) -> None:
    """A history entry that cannot be read is named, and the state stays in its format."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE history SET changes = '{' WHERE serial = 2")
    stored = store_at(path).read()
    for attempt in (lambda: store_at(path).history(), lambda: store_at(path).commit(stored, {}, entry())):
        with pytest.raises(StateUnusable, match="history entry of serial 2 cannot be read"):
            attempt()
    assert 1 == stored_format(path)


# Commits in forks of itself, each killed one SQL statement or file operation later than the one before.
KILLER = """
import os, shutil, signal, sqlite3, sys
from datetime import UTC, datetime
from pathlib import Path
from hookline.state.chain import breaks
from hookline.state.port import Entry
from hookline.state.sqlite import SqliteStore

def commit(store, who):
    entry = Entry(at=datetime(2026, 12, 1, tzinfo=UTC), who=who, commit=None, branch=None, fingerprint="", changes=())
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
    assert list(breaks("L", found.serial, records)) == [], steps
    commit(store, "eve")
    assert list(breaks("L", found.serial + 1, store.history())) == [], steps
    print(found.serial, code)
    if code == 0:
        break
"""


def test_killed_at_every_step_of_a_migration(path: Path) -> None:
    """At whichever step a migrating apply dies, the state is the old or the new one, and the next goes through."""
    path.rename(path.with_name("before"))
    done = subprocess.run(
        [sys.executable, "-c", KILLER], cwd=path.parent, capture_output=True, text=True, check=False
    )
    assert (0, "0") == (done.returncode, done.stdout.split()[-1]), done.stderr
    *killed, finished = done.stdout.splitlines()
    assert len(killed) > 15
    assert {"2 -9"} == {line for line in killed if line != "3 -9"}
    assert "3 0" == finished
