"""A simulation can replace SQLite, the sync of the disk and the waits of an embedded store."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders import ACME, delivery, settlement
from contract.spool_stores import fresh, put
from hookline.errors import SpoolUnusable
from hookline.relay.spool.admin import Count, Filter
from hookline.relay.spool.spool_values import Retention, State
from hookline.relay.spool.sqlite.dead_letters import PAUSE_SECONDS, SqliteDeadLetters
from hookline.relay.spool.sqlite.embedded import EmbeddedStore
from hookline.relay.spool.sqlite.storage_access import StorageAccess

_connect: Callable[..., sqlite3.Connection] = sqlite3.connect


class Recorder:
    """Records the part of a store that is at work, once for each of its connections, syncs and pauses."""

    def __init__(self) -> None:
        self.at_work = ""
        self.connections: list[str] = []
        self.synced: list[str] = []
        self.pauses: list[float] = []
        self.access = StorageAccess(
            connect=self.connect, sync=self.sync, reserve_bytes=4096, sleep=self.pauses.append
        )

    def connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        self.connections.append(self.at_work)
        return _connect(*arguments, **options)

    def sync(self, descriptor: int) -> None:
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        os.fsync(descriptor)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """No connection is opened in another way."""

    def refused(*_arguments: Any, **_options: Any) -> None:
        pytest.fail("a connection is opened without StorageAccess")

    monkeypatch.setattr(sqlite3, "connect", refused)
    return Recorder()


def uses(store: EmbeddedStore) -> dict[str, Callable[[], object]]:
    """By part of the store: a use of it."""

    def dead_letters() -> None:
        with store.dead_letters() as dead:
            dead.count(Filter())

    def dead_letter_import() -> None:
        with store.dead_letter_import() as importing:
            importing.add([])

    def webhook_control() -> None:
        with store.webhook_control() as control:
            control.pause(ACME, now=1.0)

    return {
        "create": lambda: store.create_if_missing(since="now"),
        "relay": lambda: store.open(since="now").close(),
        "dead letters": dead_letters,
        "dead letter import": dead_letter_import,
        "webhook control": webhook_control,
        "trace": lambda: store.trace_search().trace("R-1"),
        "spool status": lambda: store.statistics().spool_status(now=1.0),
        "backlogs": lambda: store.statistics().backlogs(),
        "endpoint states": lambda: store.statistics().endpoint_states(),
        "positions": lambda: store.dry_run().positions(),
        "known": lambda: store.dry_run().known([b"1"], delivered_after=0.0),
    }


def test_every_port_connects_through_it(recorder: Recorder, tmp_path: Path) -> None:
    """The ports of the relay, of operators and of statistics open all their connections with `connect`."""
    all_uses = uses(EmbeddedStore(tmp_path / "spool", recorder.access))
    for recorder.at_work, use in all_uses.items():
        use()
    expected = dict.fromkeys(all_uses, 1) | {"create": 3, "relay": 2}  # two of them create or migrate
    assert expected == Counter(recorder.connections)


def test_results_are_synced_through_it(recorder: Recorder, tmp_path: Path) -> None:
    """Not every group of results is synced. The next `changed_by_others` syncs the rest, once, also if a call that
    changes nothing came before."""
    spool = EmbeddedStore(tmp_path / "spool", recorder.access).open(since="now")
    put(spool, delivery("a"), delivery("b"), now=100.0)
    a, b = fresh(spool)
    spool.settle([settlement(a)], now=100.1)
    assert ["spool.db-wal"] == recorder.synced
    spool.settle([settlement(b)], now=100.2)
    spool.settle([], now=100.3)
    assert 0 == spool.expire(ACME, before=0.0, now=100.4, without=(), limit=1)
    spool.set_disabled(ACME, disabled=False, now=100.4)
    assert ["spool.db-wal"] == recorder.synced
    for _ in range(2):
        spool.changed_by_others()
    assert ["spool.db-wal"] * 2 == recorder.synced
    assert 4096 == (tmp_path / "spool" / "reserve").stat().st_size
    spool.close()


def test_removals_are_synced_with_the_next_check(recorder: Recorder, tmp_path: Path) -> None:
    """A chunk of a removal costs no sync of its own, and a removal of nothing costs none at all."""
    spool = EmbeddedStore(tmp_path / "spool", recorder.access).open(since="now")
    put(spool, delivery("a"), now=100.0)
    spool.settle([settlement(fresh(spool)[0])], now=100.1)
    for removed in (True, False):
        already = len(recorder.synced)
        assert not spool.clean_up(now=200.0, keep=Retention(1.0, 10), limit=10)
        assert already == len(recorder.synced)
        spool.changed_by_others()
        assert already + removed == len(recorder.synced)
    spool.close()


def test_a_transaction_without_changes_syncs_no_results(recorder: Recorder, tmp_path: Path) -> None:
    """SQLite does not sync a commit that writes nothing. The results before it are still to be synced."""
    spool = EmbeddedStore(tmp_path / "spool", recorder.access).open(since="now")
    put(spool, delivery("a"), now=100.0)
    spool.settle([settlement(fresh(spool)[0])], now=100.1)
    assert 0 == spool.make_due(ACME, now=100.2, limit=10)
    spool.changed_by_others()
    assert ["spool.db-wal"] == recorder.synced
    spool.close()


def test_waits_go_through_it(recorder: Recorder, tmp_path: Path) -> None:
    """A long replay pauses after each chunk, and a starting relay waits for the lock of another one."""
    directory = tmp_path / "spool"
    store = EmbeddedStore(directory, recorder.access)
    spool = store.open(since="now")
    put(spool, delivery("a"), delivery("b"))
    spool.settle([settlement(one, State.DEAD) for one in fresh(spool)], now=1.0)
    with SqliteDeadLetters(directory, recorder.access, chunk=1) as dead:
        assert Count(2, 0) == dead.replay(Filter(), now=2.0)
    assert [PAUSE_SECONDS] * 2 == recorder.pauses
    with pytest.raises(SpoolUnusable, match="held by"):
        store.open(since="later")
    assert 2 < len(recorder.pauses)
    spool.close()
