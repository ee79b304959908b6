"""Moves of webhooks on a spool that several processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import ACME, delivery, ingest_batch
from contract.spool_stores import DAY, OTHER, bodies, fresh, put, shared_location
from hookline.errors import MovesUnknown
from hookline.model import Address
from hookline.relay.spool.address_moves import MoveResult, RecordedMove
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.leases import SharedSpool

NEW = Address("acme", "live")
MOVE = RecordedMove("lineage", 5, ACME, NEW)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[tuple[SharedSpool, SharedSpool]]:
    """Two processes: the first one owns all slots, the second one none."""
    store = spool_store(shared_location(tmp_path))
    store.create(since="now")
    first = store.join(kind="relay", name="")
    first.leases.rebalance()
    second = store.join(kind="relay", name="")
    yield first, second
    second.close()
    first.close()


def test_only_the_owner_of_the_old_address_moves_its_deliveries(processes: tuple[SharedSpool, SharedSpool]) -> None:
    """Until then another process does nothing. Afterwards it cannot store what it has routed before, and knows the
    webhook under its new address."""
    owner, other = processes
    put(owner, delivery("a"), now=1.0)
    put(other, delivery("o", address=OTHER), now=1.0)
    assert other.follow_move(MOVE, now=2.0) is None
    assert [] == other.followed_moves().moves
    assert MoveResult(1, 1) == owner.follow_move(MOVE, now=2.0)
    late = ingest_batch(delivery("b"))
    with pytest.raises(MovesUnknown):
        other.enqueue(late, now=3.0, dedupe_window=DAY)
    assert (1, [MOVE]) == (other.followed_moves().number, other.followed_moves().moves)
    routed = ingest_batch(delivery("b", address=NEW), moves=1)
    other.enqueue(routed, now=3.0, dedupe_window=DAY)
    owner.changed_by_others()
    assert [b"a", b"b"] == bodies(fresh(owner, NEW))
    assert 3 == owner.tally()["pending"]


def test_any_process_records_the_move_of_an_unknown_address(processes: tuple[SharedSpool, SharedSpool]) -> None:
    """A new spool need not wait for the owner of each earlier address."""
    _, other = processes
    assert MoveResult(1, 0) == other.follow_move(MOVE, now=2.0)
