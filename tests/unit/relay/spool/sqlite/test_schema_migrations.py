"""A spool of another format: an older one is copied and migrated, the others are refused and left as they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hookline.errors import SpoolUnusable
from hookline.relay.spool.sqlite import database
from hookline.relay.spool.sqlite.schema import EARLIER_SPOOL_APPLICATION_ID, SPOOL_FORMAT, SPOOL_MIGRATIONS
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    SqliteSpool(tmp_path / "spool", since="now").close()
    return tmp_path / "spool"


def execute(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name.startswith("spool.db"))


def fail_after_a_change(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE rejected")
    raise sqlite3.DatabaseError("disk I/O error")


def refused(directory: Path) -> SpoolUnusable:
    with pytest.raises(SpoolUnusable) as caught:
        SqliteSpool(directory, since="now")
    assert 8 == caught.value.exit_code
    assert caught.value.hint
    return caught.value


def test_a_registered_migration_runs_after_a_copy(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay keeps the older database beside the new one, and the migration changes the new one alone."""
    monkeypatch.setattr(database, "SPOOL_FORMAT", 2)
    monkeypatch.setitem(SPOOL_MIGRATIONS, 1, lambda connection: connection.execute("CREATE TABLE added (n INTEGER)"))
    SqliteSpool(directory, since="now").close()
    copy = directory / "spool.db.format-1"
    added = "SELECT count(*) FROM sqlite_schema WHERE name = 'added'"
    for path, version, tables in ((directory / "spool.db", 2, 1), (copy, 1, 0)):
        assert ([(version,)], [(tables,)]) == (execute(path, "PRAGMA user_version"), execute(path, added))
    assert 0o600 == copy.stat().st_mode & 0o777
    SqliteSpool(directory, since="now").close()


def test_a_migration_that_fails_changes_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transaction is rolled back, and the copy remains. The next start migrates the spool."""
    with monkeypatch.context() as newer:
        newer.setattr(database, "SPOOL_FORMAT", 2)
        newer.setitem(SPOOL_MIGRATIONS, 1, fail_after_a_change)
        refused(directory)
    assert "spool.db.format-1" in names(directory)
    assert [(1,)] == execute(directory / "spool.db", "PRAGMA user_version")
    SqliteSpool(directory, since="now").close()


def test_no_migration_without_its_copy(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the copy cannot be written, the relay refuses the spool and does not begin to migrate it."""
    monkeypatch.setattr(database, "SPOOL_FORMAT", 2)
    monkeypatch.setitem(SPOOL_MIGRATIONS, 1, fail_after_a_change)
    (directory / "spool.db.format-1").mkdir()
    assert "a copy cannot be written beside it" in refused(directory).message
    assert [(1,)] == execute(directory / "spool.db", "PRAGMA user_version")


def test_a_format_that_no_migration_leaves_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a migration the spool is refused, and no copy is made."""
    monkeypatch.setattr(database, "SPOOL_FORMAT", 2)
    assert "no migration from format 1 exists" in refused(directory).message
    assert "spool.db.format-1" not in names(directory)


def test_a_newer_format_is_refused(directory: Path) -> None:
    """The message names both formats."""
    execute(directory / "spool.db", f"PRAGMA user_version = {SPOOL_FORMAT + 1}")
    assert "written by a newer hookline (format 2; this version reads 1)" in refused(directory).message


def test_the_spool_of_an_earlier_build_is_refused(directory: Path) -> None:
    """Builds before the first release used another application id. The message names the way out."""
    execute(directory / "spool.db", f"PRAGMA application_id = {EARLIER_SPOOL_APPLICATION_ID}")
    before = (directory / "spool.db").read_bytes()
    error = refused(directory)
    assert "was written by an earlier build of hookline" in error.message
    assert "--spool" in str(error.hint)
    assert before == (directory / "spool.db").read_bytes()
