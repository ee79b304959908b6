"""The SQLite store's own promises: who may read, what is refused, and what is never left behind."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from builders import document
from hookline.errors import Stale, StateUnusable
from hookline.model import Address
from hookline.state.sqlite_store import SqliteStore
from hookline.state.store import EMPTY, HistoryEntry, Override, PolicyChange, Snapshot

PROD = Address("acme", "prod")
NOBODY = 65534


def entry(**changes: Any) -> HistoryEntry:
    given: dict[str, Any] = {
        "at": datetime(2026, 11, 3, 10, 30, tzinfo=timezone(timedelta(hours=1))),
        "who": "ada",
        "commit": "c0ffee",
        "branch": "main",
        "fingerprint": "sha256:0",
        "changes": ({"address": "acme/prod", "action": "create"},),
        "lifted": ("acme/prod: protected",),
    }
    return HistoryEntry(**{**given, **changes})


def store_at(path: Path, *, patience: float = 0.05, lock_timeout: float = 0) -> SqliteStore:
    return SqliteStore(
        path,
        new_lineage=lambda: "L",
        lock_timeout=timedelta(seconds=lock_timeout),
        patience=timedelta(seconds=patience),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".hookline" / "state.db"


@pytest.fixture
def stored(path: Path) -> Snapshot:
    return store_at(path).commit(EMPTY, {PROD: document()}, entry())


def listing(directory: Path) -> dict[str, tuple[int, int]]:
    return {found.name: (found.stat().st_size, found.stat().st_mtime_ns) for found in directory.iterdir()}


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_reading_makes_nothing(path: Path) -> None:
    """Reading where nothing is stored makes neither the file nor its directory."""
    assert store_at(path).read() == EMPTY
    assert not path.parent.exists()


def test_first_commit_is_private(path: Path, stored: Snapshot) -> None:
    """The directory is for its owner only, so is the file, and no draft or journal stays beside it."""
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["state.db"]


def test_reading_leaves_nothing_behind(path: Path, stored: Snapshot) -> None:
    """Reading neither adds a file beside the state nor touches it."""
    before = listing(path.parent)
    assert store_at(path).read() == stored
    assert store_at(path).version() == ("L", 1)
    assert before == listing(path.parent)


def test_reading_never_makes_the_file(path: Path, stored: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that vanishes between the look and the opening is not made anew by opening it."""
    path.unlink()
    monkeypatch.setattr("hookline.state.sqlite_store.state_file_exists", lambda path: True)
    with pytest.raises(StateUnusable, match="cannot be opened"):
        store_at(path).read()
    with pytest.raises(StateUnusable, match="cannot be opened"):
        store_at(path).commit(stored, {}, entry())
    assert list(path.parent.iterdir()) == []


@pytest.fixture
def read_only_directory() -> Iterator[Path]:
    """A directory with a state that this process, or the user it becomes, may read and not write."""
    directory = Path(tempfile.mkdtemp(prefix="hookline-read-only-"))
    store_at(directory / "state.db").commit(EMPTY, {PROD: document()}, entry())
    (directory / "state.db").chmod(0o444)
    directory.chmod(0o555)
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    yield directory
    os.seteuid(was)
    directory.chmod(0o755)
    shutil.rmtree(directory)


def test_reader_without_write_access(read_only_directory: Path) -> None:
    """Who may not write the directory reads the state all the same, and is told so when committing."""
    with pytest.raises(PermissionError):
        (read_only_directory / "probe").touch()
    store = store_at(read_only_directory / "state.db")
    found = store.read()
    assert found.webhooks[PROD].document == document()
    with pytest.raises(StateUnusable, match="cannot be opened"):
        store.commit(found, {PROD: None}, entry())
    assert os.listdir(read_only_directory) == ["state.db"]  # noqa: PTH208 - names, as a user sees them


def test_place_without_write_access(read_only_directory: Path) -> None:
    """A first apply into a directory that may not be written to says so, and names the option."""
    with pytest.raises(StateUnusable, match="cannot be created") as refused:
        store_at(read_only_directory / "other.db").commit(EMPTY, {PROD: document()}, entry())
    assert "--state" in str(refused.value.hint)


def test_history_of_every_commit(path: Path, stored: Snapshot) -> None:
    """Each commit leaves a row: serial, time (UTC), who, commit, branch, plan, lifted, policy, note, hash."""
    overrides, policy = (Override("freeze", "r"),), PolicyChange("{}", "p.yaml")
    store_at(path).commit(
        stored,
        {PROD: document(name="Feedback 1")},
        entry(who="bob", commit=None, branch=None, lifted=(), overrides=overrides, policy=policy, note="n"),
    )
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM history ORDER BY serial").fetchall()
    changes = '[{"action":"create","address":"acme/prod"}]'
    at = "2026-11-03T09:30:00.000Z"
    lifted, set_policy = '[{"reason":"r","rule":"freeze"}]', '{"source":"p.yaml","text":"{}"}'
    first, second = store_at(path).history()
    assert rows == [
        (
            1,
            at,
            "ada",
            "c0ffee",
            "main",
            "sha256:0",
            changes,
            '["acme/prod: protected"]',
            "[]",
            None,
            None,
            first.hash,
        ),
        (2, at, "bob", None, None, "sha256:0", changes, "[]", lifted, set_policy, "n", second.hash),
    ]


def test_row_knows_its_serial(path: Path, stored: Snapshot) -> None:
    """A row keeps the serial of the apply that wrote it last; other applies do not touch it."""
    stage = Address("acme", "stage")
    second = store_at(path).commit(stored, {stage: document(stage)}, entry())
    store_at(path).commit(second, {stage: document(stage, name="Feedback 1")}, entry())
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT sandbox, serial FROM webhooks ORDER BY 1").fetchall()
    assert rows == [("prod", 1), ("stage", 3)]


def test_kind_of_database(path: Path, stored: Snapshot) -> None:
    """The file carries hookline's application id, a rollback journal, and tables that check their types."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (0x686B7374,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        strict = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema='main'").fetchall()
    tables = ("meta", "webhooks", "history", "policies", "moves")
    assert {(name, 1) for name in tables} == {row for row in strict if "sqlite" not in row[0]}


def test_time_needs_its_zone() -> None:
    """A history entry cannot be made with a time that does not say where it is."""
    with pytest.raises(ValueError, match="time zone"):
        entry(at=datetime(2026, 11, 3))  # noqa: DTZ001 - what is refused


def _empty_file(path: Path) -> None:
    path.write_bytes(b"")


def _text_file(path: Path) -> None:
    path.write_text("webhooks: []\n" * 100)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _foreign_database(path: Path) -> None:
    change(path, "PRAGMA application_id = 7")


def _earlier_build(path: Path) -> None:
    change(path, "PRAGMA application_id = 0x686B6C73")


def _newer(path: Path) -> None:
    change(path, "UPDATE meta SET format = 2", "ALTER TABLE meta RENAME COLUMN lineage TO line")


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def _without_meta(path: Path) -> None:
    change(path, "DELETE FROM meta")


def _without_table(path: Path) -> None:
    change(path, "DROP TABLE webhooks")


def _broken_document(path: Path) -> None:
    change(path, "UPDATE webhooks SET document = '{\"version\": 1}'")


def _not_json(path: Path) -> None:
    change(path, "UPDATE webhooks SET document = '{'")


def _not_utf8(path: Path) -> None:
    change(path, "UPDATE webhooks SET document = CAST(x'7bff7d' AS TEXT)")


def _swapped_address(path: Path) -> None:
    change(path, "UPDATE webhooks SET sandbox = 'stage'")


UNUSABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty file": (_empty_file, "is an empty file"),
    "text file": (_text_file, "is not an SQLite database"),
    "directory": (_directory, "is not a file"),
    "dangling link": (_dangling_link, "is a broken symbolic link"),
    "foreign database": (_foreign_database, "not a state of hookline"),
    "earlier build": (_earlier_build, "before its first release"),
    "newer format": (_newer, r"newer hookline \(format 2; this one reads 1\)"),
    "truncated": (_truncated, "is damaged"),
    "no meta row": (_without_meta, "is damaged"),
    "no table": (_without_table, "is damaged"),
    "incomplete document": (_broken_document, "document of acme/prod cannot be read"),
    "document that is no JSON": (_not_json, "document of acme/prod cannot be read"),
    "document that is no UTF-8": (_not_utf8, "is damaged"),
    "document of another address": (_swapped_address, "has the address acme/prod"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_state(name: str, path: Path, stored: Snapshot) -> None:
    """What cannot be read is refused with its reason and a next step, and is left as it was found."""
    spoil, reason = UNUSABLE[name]
    spoil(path)
    before = listing(path.parent) if path.exists() and path.is_file() else {}
    with pytest.raises(StateUnusable, match=reason) as refused:
        store_at(path).read()
    assert refused.value.hint
    assert before == (listing(path.parent) if path.exists() and path.is_file() else {})


@pytest.mark.parametrize(
    "name", ["empty file", "text file", "dangling link", "foreign database", "earlier build", "newer format"]
)
def test_unusable_state_is_not_rebuilt(name: str, path: Path, stored: Snapshot) -> None:
    """A commit does not put a new state in the place of what it cannot read."""
    spoil, reason = UNUSABLE[name]
    spoil(path)
    for base in (stored, EMPTY):
        with pytest.raises(StateUnusable, match=reason):
            store_at(path).commit(base, {PROD: document(name="Feedback 1")}, entry())


def test_any_damaged_byte(path: Path, stored: Snapshot) -> None:
    """Whichever byte is overwritten, reading gives a state or says that it cannot: no other error escapes."""
    whole = path.read_bytes()
    outcomes = set()
    for offset in range(0, len(whole), 37):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0xFF]) + whole[offset + 1 :])
        try:
            store_at(path).read()
            outcomes.add("read")
        except StateUnusable:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_locked_by_another_apply(path: Path, stored: Snapshot) -> None:
    """While another apply holds the state, a commit gives up at once and says how to wait; reading goes on."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StateUnusable, match=f"is locked by another process .{os.getpid()}") as refused:
            store_at(path, patience=30).commit(stored, {PROD: document(name="Feedback 1")}, entry())
        assert time.monotonic() - began < 10
        assert "--lock-timeout" in str(refused.value.hint)
        assert store_at(path).read() == stored
    assert store_at(path).commit(stored, {PROD: document(name="Feedback 1")}, entry()).serial == 2


def test_lock_timeout_is_waited_for(path: Path, stored: Snapshot) -> None:
    """With a lock timeout the commit waits that long before it gives up."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StateUnusable, match="locked"):
            store_at(path, lock_timeout=0.3).commit(stored, {PROD: document(name="Feedback 1")}, entry())
        assert time.monotonic() - began >= 0.25


def test_reader_does_not_stop_a_commit_for_good(path: Path, stored: Snapshot) -> None:
    """A reader that stays longer than patience allows makes the commit give up, and nothing is written."""
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meta").fetchall()
        with pytest.raises(StateUnusable, match="locked"):
            store_at(path).commit(stored, {PROD: document(name="Feedback 1")}, entry())
    assert store_at(path).read() == stored


def test_reading_waits_for_a_commit_and_gives_up(path: Path, stored: Snapshot) -> None:
    """While a commit writes its pages nobody reads: after its patience a reader says that the state is locked."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateUnusable, match="locked"):
            store_at(path).read()


def test_vanished_state_is_stale(path: Path, stored: Snapshot) -> None:
    """A state that was there when the plan was made and is gone now is not made anew."""
    path.unlink()
    with pytest.raises(Stale, match="no longer exists"):
        store_at(path).commit(stored, {PROD: document(name="Feedback 1")}, entry())
    assert not path.exists()


def leave_hot_journal(path: Path) -> None:
    """What a process leaves that dies after it has written pages and before it has committed."""
    beside = path.with_name("copy.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE meta SET serial = 99")
        for number in range(100):
            connection.execute("INSERT INTO webhooks VALUES ('x', ?, ?, 2)", (str(number), "y" * 3000))
        shutil.copyfile(path, beside)
        journal = path.with_name("state.db-journal").read_bytes()
        connection.execute("ROLLBACK")
    beside.replace(path)
    path.with_name("state.db-journal").write_bytes(journal)


def test_interrupted_commit_is_undone(path: Path, stored: Snapshot) -> None:
    """After an apply was killed while it wrote pages, the next reader who may write finds the old state."""
    leave_hot_journal(path)
    assert store_at(path).read() == stored
    assert [found.name for found in path.parent.iterdir()] == ["state.db"]


def test_interrupted_commit_without_write_access(read_only_directory: Path) -> None:
    """Who may not write cannot undo an interrupted apply, and is told who can."""
    state = read_only_directory / "state.db"
    os.seteuid(os.getuid())
    state.chmod(0o644)
    read_only_directory.chmod(0o755)
    leave_hot_journal(state)
    for found in read_only_directory.iterdir():
        found.chmod(0o444)
    read_only_directory.chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(NOBODY)
    with pytest.raises(StateUnusable, match="was interrupted") as refused:
        store_at(state).read()
    assert "who may write" in str(refused.value.hint)


def test_path_with_a_question_mark(tmp_path: Path) -> None:
    """A path is a path, also when it holds what has a meaning in a URI."""
    path = tmp_path / "a?mode=rwc#b%41" / "state.db"
    written = store_at(path).commit(EMPTY, {PROD: document()}, entry())
    assert store_at(path).read() == written
    assert json.dumps(document(), sort_keys=True) == json.dumps(written.webhooks[PROD].document, sort_keys=True)
