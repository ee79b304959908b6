"""The conformance suite of admin.DryRunSpool."""

from __future__ import annotations

from builders import delivery, settlement
from contract.spool_stores import fresh, put
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import State


def test_without_a_spool_nothing_is_known(store: SpoolStore) -> None:
    """A dry run before the first relay works, and creates nothing."""
    dry_run = store.dry_run()
    assert ([], set()) == (dry_run.positions(), dry_run.known([delivery("a").id], delivered_after=0.0))
    assert store.statistics().backlogs() is None


def test_the_checkpoints_are_those_of_the_relay(store: SpoolStore, spool: Spool) -> None:
    """A dry run begins at the positions of the relay."""
    put(spool, delivery("a"), now=3.0)
    assert spool.positions() == store.dry_run().positions() != []


def test_which_ids_would_be_duplicates(store: SpoolStore, spool: Spool) -> None:
    """The known ids are those that ingest would count as duplicates: pending, dead, or delivered after the time."""
    put(spool, *(delivery(name) for name in ("pending", "dead", "old", "new")))
    _, dead, old, new = fresh(spool)
    spool.settle([settlement(dead, State.DEAD, reason="x"), settlement(old)], now=10.0)
    spool.settle([settlement(new)], now=11.0)
    ids = [delivery(name).id for name in ("pending", "dead", "old", "new", "never read")]
    known = store.dry_run().known(ids, delivered_after=10.0)
    assert [True, True, False, True, False] == [identity in known for identity in ids]
