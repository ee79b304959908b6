"""A spool of another format: an older one is copied and migrated, the others are refused and left as they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hookline.errors import SpoolUnusable
from hookline.relay.spool.sqlite import database
from hookline.relay.spool.sqlite.schema import (
    EARLIER_SPOOL_APPLICATION_ID,
    EARLIER_SPOOL_FORMAT,
    SPOOL_FORMAT,
    SPOOL_MIGRATIONS,
)
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

NEXT_FORMAT = SPOOL_FORMAT + 1
COPY = f"spool.db.format-{SPOOL_FORMAT}"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    SqliteSpool(tmp_path / "spool", since="now").close()
    return tmp_path / "spool"


def execute(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name.startswith("spool.db"))


def add_a_table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE added (n INTEGER)")


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
    monkeypatch.setattr(database, "SPOOL_FORMAT", NEXT_FORMAT)
    monkeypatch.setitem(SPOOL_MIGRATIONS, SPOOL_FORMAT, add_a_table)
    SqliteSpool(directory, since="now").close()
    copy = directory / COPY
    added = "SELECT count(*) FROM sqlite_schema WHERE name = 'added'"
    for path, version, tables in ((directory / "spool.db", NEXT_FORMAT, 1), (copy, SPOOL_FORMAT, 0)):
        assert ([(version,)], [(tables,)]) == (execute(path, "PRAGMA user_version"), execute(path, added))
    assert 0o600 == copy.stat().st_mode & 0o777
    SqliteSpool(directory, since="now").close()


def test_a_migration_that_fails_changes_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transaction is rolled back, and the copy remains. The next start migrates the spool."""
    with monkeypatch.context() as newer:
        newer.setattr(database, "SPOOL_FORMAT", NEXT_FORMAT)
        newer.setitem(SPOOL_MIGRATIONS, SPOOL_FORMAT, fail_after_a_change)
        refused(directory)
    assert COPY in names(directory)
    assert [(SPOOL_FORMAT,)] == execute(directory / "spool.db", "PRAGMA user_version")
    SqliteSpool(directory, since="now").close()


def test_no_migration_without_its_copy(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the copy cannot be written, the relay refuses the spool and does not begin to migrate it."""
    monkeypatch.setattr(database, "SPOOL_FORMAT", NEXT_FORMAT)
    monkeypatch.setitem(SPOOL_MIGRATIONS, SPOOL_FORMAT, fail_after_a_change)
    (directory / COPY).mkdir()
    assert "a copy cannot be written beside it" in refused(directory).message
    assert [(SPOOL_FORMAT,)] == execute(directory / "spool.db", "PRAGMA user_version")


def test_a_format_that_no_migration_leaves_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a migration the spool is refused, and no copy is made."""
    monkeypatch.setattr(database, "SPOOL_FORMAT", NEXT_FORMAT)
    assert f"no migration from format {SPOOL_FORMAT} exists" in refused(directory).message
    assert COPY not in names(directory)


def test_a_newer_format_is_refused(directory: Path) -> None:
    """The message names both formats."""
    execute(directory / "spool.db", f"PRAGMA user_version = {NEXT_FORMAT}")
    assert (
        f"written by a newer hookline (format {NEXT_FORMAT}; this version reads {SPOOL_FORMAT})"
        in refused(directory).message
    )


@pytest.mark.parametrize(
    "pragma", [f"application_id = {EARLIER_SPOOL_APPLICATION_ID}", f"user_version = {EARLIER_SPOOL_FORMAT}"]
)
def test_the_spool_of_an_earlier_build_is_refused(directory: Path, pragma: str) -> None:
    """Builds before the first release used another application id or format. The message names the way out."""
    execute(directory / "spool.db", f"PRAGMA {pragma}")
    before = (directory / "spool.db").read_bytes()
    error = refused(directory)
    assert "was written by an earlier build of hookline" in error.message
    assert "--spool" in str(error.hint)
    assert before == (directory / "spool.db").read_bytes()
