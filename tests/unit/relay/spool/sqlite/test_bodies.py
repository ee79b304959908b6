"""The table of payloads: exactly pending and dead deliveries have one, and its pages are used again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ACME, delivery, settlement
from contract.spool_stores import DAY, fresh, put
from hookline.errors import SpoolUnusable
from hookline.relay.ids import WebhookIds
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.spool_values import Retention, State
from hookline.relay.spool.sqlite.bodies import _runs
from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetterImport, SqliteDeadLetters
from hookline.relay.spool.sqlite.recovery.recover import recover
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from spool_payloads import payload_problem


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SqliteSpool]:
    with closing(SqliteSpool(tmp_path / "spool", since="now")) as opened:
        yield opened


def payloads(directory: Path) -> list[bytes]:
    """The payloads, by `seq`. Fails unless they are those of pending and dead deliveries."""
    with closing(sqlite3.connect(directory / "spool" / "spool.db")) as connection:
        assert payload_problem(connection) is None
        return [content for (content,) in connection.execute("SELECT content FROM body ORDER BY seq")]


def execute(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / "spool" / "spool.db", isolation_level=None)) as connection:
        connection.execute(statement)


@given(st.sets(st.integers(-20, 20)))
def test_runs_cover_exactly_their_numbers(numbers: set[int]) -> None:
    """The ranges hold each number once and no other, and no two of them could be one."""
    runs = list(_runs(numbers))
    assert sorted(numbers) == [n for first, last in runs for n in range(first, last + 1)]
    assert all(first > last + 1 for (_, last), (first, _) in pairwise(runs))


def test_a_duplicate_stores_no_payload(spool: SqliteSpool, tmp_path: Path) -> None:
    """Also among new deliveries of the same batch, and beside a record that is sent again."""
    put(spool, delivery("a"), now=0.0)
    spool.settle([settlement(fresh(spool)[0])], now=0.0)
    put(spool, delivery("b"), delivery("a"), delivery("b"), now=1.0)
    assert [b"b"] == payloads(tmp_path)
    put(spool, delivery("a"), delivery("c"), delivery("b"), now=2.0 + DAY)
    assert [b"b", b"a", b"c"] == payloads(tmp_path)


def test_results_that_come_too_late_remove_no_payload(spool: SqliteSpool, tmp_path: Path) -> None:
    """A delivery that died while its attempt was in flight keeps its payload, also beside others of its group."""
    put(spool, *(delivery(name) for name in "abcd"))
    items = fresh(spool)
    spool.dead_letter(ACME, reason="gone", now=1.0, without=[items[0].seq, items[3].seq], limit=10)
    spool.settle([settlement(items[n]) for n in (0, 1, 1, 3)], now=2.0)
    assert [b"b", b"c"] == payloads(tmp_path)


def test_a_dead_letter_keeps_its_payload_until_its_end(spool: SqliteSpool, tmp_path: Path) -> None:
    """A replay keeps it, and a discard, the end of the retention and an import change it with the letter."""
    put(spool, *(delivery(name) for name in "abc"))
    spool.settle([settlement(item, State.DEAD, reason="x") for item in fresh(spool)], now=1.0)
    with SqliteDeadLetters(tmp_path / "spool") as dead:
        letters = list(dead.all_in_order(Filter()))
        assert [b"a", b"b", b"c"] == payloads(tmp_path) == [one.body for one in letters]  # type: ignore[union-attr]
        ids = [one.id.hex() for one in letters]  # type: ignore[union-attr]
        dead.replay(Filter(ids=(ids[0],)), now=2.0)
        dead.discard(Filter(ids=(ids[1],)), now=2.0)
        assert [b"a", b"c"] == payloads(tmp_path)
        spool.clean_up(now=100.0, keep=Retention(10.0, 1000), limit=10)
        assert [b"a"] == payloads(tmp_path)
        with SqliteDeadLetterImport(tmp_path / "spool") as importing:
            importing.add([letters[2], letters[0]])
        assert [b"c", b"a"] == payloads(tmp_path)


def test_the_pages_of_removed_payloads_are_used_again(spool: SqliteSpool, tmp_path: Path) -> None:
    """The database grows by the records of delivered events alone, not by their payloads."""

    def pages() -> int:
        with closing(sqlite3.connect(tmp_path / "spool" / "spool.db")) as connection:
            return int(connection.execute("PRAGMA page_count").fetchone()[0])

    def deliver_some(name: str) -> int:
        put(spool, *(delivery(f"{name}-{n}", body=bytes(4000)) for n in range(100)))
        spool.settle([settlement(item) for item in fresh(spool)], now=0.0)
        return pages()

    first = deliver_some("0")
    assert first > 50
    assert deliver_some("1") <= first + 5


def test_a_lost_payload_is_damage(tmp_path: Path) -> None:
    """The relay and `dead list` refuse a delivery without payload. Recovery saves the others, and drops no record."""
    ids = WebhookIds(b"acme")
    with closing(SqliteSpool(tmp_path / "spool", since="now")) as spool:
        put(spool, *(delivery(name, id=ids.delivery_id(b"", f"request-{name}")) for name in "abc"))
        items = fresh(spool)
        spool.settle([settlement(items[0]), settlement(items[1], State.DEAD, reason="x")], now=1.0)
        execute(tmp_path, "DELETE FROM body")
        with pytest.raises(SpoolUnusable, match="is damaged: a pending delivery has no payload") as caught:
            fresh(spool)
        assert "spool recover" in str(caught.value.hint)
    with SqliteDeadLetters(tmp_path / "spool") as dead, pytest.raises(SpoolUnusable, match="letter has no payload"):
        list(dead.newest(Filter(), limit=10))
    recovered = recover(tmp_path / "spool", tmp_path / "new")
    assert not recovered.complete
    assert {"pending": 0, "dead": 0, "records": 1}.items() <= recovered.saved.items()
    assert {"pending": 1, "dead": 1, "records": 0}.items() <= recovered.lost.items()
