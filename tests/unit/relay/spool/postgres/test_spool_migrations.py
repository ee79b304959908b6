"""`spool migrate`: the format of a shared spool changes after the last process of the older version has ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hookline.errors import SpoolUnusable
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from hookline.relay.spool.postgres.spool_migrations import SHARED_SPOOL_MIGRATIONS
from hookline.relay.spool.postgres.spool_tables import SHARED_FORMAT as SPOOL_FORMAT
from postgres_server import new_state

NEXT_FORMAT = SPOOL_FORMAT + 1
ADD_A_COLUMN = ("ALTER TABLE spool.delivery ADD COLUMN added integer NOT NULL DEFAULT 0",)


@pytest.fixture
def store() -> SharedStore:
    store = SharedStore(new_state())
    store.create(slots=4)
    return store


class Versions:
    """Processes of this version and of the next one, which are told apart by the newest format that they know."""

    def __init__(self, store: SharedStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self._store, self._monkeypatch, self._opened = store, monkeypatch, list[SlotLeases]()

    def use(self, newest_format: int) -> None:
        self._monkeypatch.setattr(SpoolConnection, "newest_format", newest_format)

    def join(self, newest_format: int) -> SlotLeases:
        self.use(newest_format)
        leases = self._store.leases()
        self._opened.append(leases)
        leases.join()
        leases.rebalance()
        return leases

    def close(self) -> None:
        for leases in self._opened:
            leases._connection.close()


@pytest.fixture
def versions(store: SharedStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Versions]:
    versions = Versions(store, monkeypatch)
    yield versions
    versions.close()


def spool_format(store: SharedStore) -> int:
    connection = store.connection()
    connection.connect()
    connection.close()
    return connection.format


def columns(store: SharedStore) -> list[str]:
    connection = store.connection()
    statement = "SELECT attname FROM pg_attribute WHERE attrelid = 'spool.delivery'::regclass AND attname = 'added'"
    found = connection.query(statement)
    connection.close()
    return [name for (name,) in found]


def test_the_newest_format_needs_no_migration(store: SharedStore, versions: Versions) -> None:
    """Nothing is changed, and the processes keep their leases."""
    leases = versions.join(SPOOL_FORMAT)
    assert (SPOOL_FORMAT, SPOOL_FORMAT) == store.migrate(since="now")
    assert leases.renew()


def test_a_newer_process_works_in_the_older_format(
    store: SharedStore, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both versions run side by side until the older one has ended; then the format changes, once."""
    monkeypatch.setitem(SHARED_SPOOL_MIGRATIONS, SPOOL_FORMAT, ADD_A_COLUMN)
    older, newer = versions.join(SPOOL_FORMAT), versions.join(NEXT_FORMAT)
    assert {2} == {older.rebalance().target, newer.rebalance().target}
    assert SPOOL_FORMAT == spool_format(store)
    with pytest.raises(
        SpoolUnusable, match=rf"an older hookline: relay, process \d+ on .*, knows format {SPOOL_FORMAT}"
    ):
        store.migrate(since="now")
    assert (SPOOL_FORMAT, []) == (spool_format(store), columns(store))
    older.leave()
    assert (SPOOL_FORMAT, NEXT_FORMAT) == store.migrate(since="now")
    assert (NEXT_FORMAT, ["added"]) == (spool_format(store), columns(store))
    assert (NEXT_FORMAT, NEXT_FORMAT) == store.migrate(since="now")


def test_a_migration_ends_the_leases(store: SharedStore, versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer processes write nothing in the older format afterwards: they join again, and read the new one."""
    monkeypatch.setitem(SHARED_SPOOL_MIGRATIONS, SPOOL_FORMAT, ADD_A_COLUMN)
    newer = versions.join(NEXT_FORMAT)
    store.migrate(since="now")
    assert not newer.renew()
    newer.join()
    assert 4 == len(newer.rebalance().owned)
    assert NEXT_FORMAT == newer._connection.format


def test_an_older_version_refuses_the_new_format(
    store: SharedStore, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot join after the migration, and its commands are refused."""
    monkeypatch.setitem(SHARED_SPOOL_MIGRATIONS, SPOOL_FORMAT, ADD_A_COLUMN)
    versions.use(NEXT_FORMAT)
    store.migrate(since="now")
    with pytest.raises(SpoolUnusable, match=rf"by a newer hookline \(format {NEXT_FORMAT}; this version reads"):
        versions.join(SPOOL_FORMAT)


def test_two_formats_are_too_old(store: SharedStore, versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version reads its own format and the one before. `migrate` changes older ones, if it has the statements."""
    with pytest.raises(SpoolUnusable, match="by an older hookline") as refused:
        versions.join(NEXT_FORMAT + 1)
    assert "spool migrate" in str(refused.value.hint)
    monkeypatch.setitem(SHARED_SPOOL_MIGRATIONS, SPOOL_FORMAT, ADD_A_COLUMN)
    with pytest.raises(SpoolUnusable, match=f"no migration from format {NEXT_FORMAT} exists"):
        store.migrate(since="now")
    monkeypatch.setitem(SHARED_SPOOL_MIGRATIONS, NEXT_FORMAT, ())
    assert (SPOOL_FORMAT, NEXT_FORMAT + 1) == store.migrate(since="now")


def test_a_migration_that_fails_changes_nothing(
    store: SharedStore, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction is rolled back, and the processes keep their leases."""
    monkeypatch.setitem(SHARED_SPOOL_MIGRATIONS, SPOOL_FORMAT, (*ADD_A_COLUMN, "SELECT 1 / 0"))
    newer = versions.join(NEXT_FORMAT)
    with pytest.raises(SpoolUnusable, match="division by zero"):
        store.migrate(since="now")
    assert newer.renew()
    assert (SPOOL_FORMAT, []) == (spool_format(store), columns(store))
