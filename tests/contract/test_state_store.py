"""What every StateStore holds, whatever it is made of. A new store joins by a fixture parameter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from builders import declared, document, entry
from hookline.canonical import digest
from hookline.errors import Blocked, HooklineError, Stale, Unusable
from hookline.model import Address
from hookline.state.history_chain import entry_hash, find_breaks, genesis_hash
from hookline.state.postgres_address import parse_postgres
from hookline.state.postgres_store import PostgresStore
from hookline.state.sqlite_store import SqliteStore
from hookline.state.store import EMPTY, HistoryEntry, Move, Override, PolicyChange, StateStore, StoredPolicy
from postgres_server import new_state

PROD = Address("acme", "prod")
STAGE = Address("acme", "stage")


@pytest.fixture(params=["sqlite", "postgresql"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], StateStore]:
    """Opens the one state of this test again and again; the argument is the lineage a first commit gives."""
    if request.param == "postgresql":
        address = parse_postgres(new_state())
        return lambda lineage: PostgresStore(address, new_lineage=lambda: lineage, lock_timeout=timedelta(seconds=10))
    return lambda lineage: SqliteStore(
        tmp_path / "state" / "state.db",
        new_lineage=lambda: lineage,
        lock_timeout=timedelta(seconds=10),
    )


def test_nothing_is_stored_at_first(open_store: Callable[[str], StateStore]) -> None:
    """A state that was never written reads as the empty one, at serial 0 without a lineage."""
    store = open_store("L")
    assert store.read() == EMPTY
    assert store.version() == (None, 0)


def test_first_commit(open_store: Callable[[str], StateStore]) -> None:
    """The first commit gives the state its lineage and serial 1, and another process reads what was written."""
    first = document(PROD, name="Rückmeldung 反馈")
    written = open_store("L1").commit(EMPTY, {PROD: first}, entry())
    found = open_store("other").read()
    assert written == found
    assert ("L1", 1) == (found.lineage, found.serial) == open_store("other").version()
    assert found.webhooks[PROD].document == first
    assert found.webhooks[PROD].webhook.name == "Rückmeldung 反馈"


def test_declared_webhooks_do_not_change_the_result(open_store: Callable[[str], StateStore]) -> None:
    """A state reads the same whether the files declare its webhooks as they are stored, otherwise, or not at all."""
    first, second = document(PROD), document(STAGE)
    written = open_store("L").commit(EMPTY, {PROD: first, STAGE: second}, entry())
    same = {
        PROD: declared(first),
        STAGE: declared({**second, "name": "Other"}),
        Address("acme", "new"): declared(first),
    }
    found = open_store("L").read(same)
    assert written == found
    assert [first, second] == [found.webhooks[address].document for address in (PROD, STAGE)]


def test_commit_writes_updates_and_deletes(open_store: Callable[[str], StateStore]) -> None:
    """A commit replaces, adds and deletes what it names, and leaves the rest alone."""
    store = open_store("L")
    other = Address("beta", "prod")
    first = store.commit(EMPTY, {PROD: document(PROD), STAGE: document(STAGE)}, entry())
    moved = document(PROD, url="https://hooks.acme.example/b")
    second = store.commit(first, {PROD: moved, STAGE: None, other: document(other)}, entry())
    assert store.read() == second
    assert second.serial == 2
    assert {PROD: moved, other: document(other)} == {a: s.document for a, s in second.webhooks.items()}


def test_stale_base_changes_nothing(open_store: Callable[[str], StateStore]) -> None:
    """A commit onto a state that has moved since is refused as stale, and writes nothing."""
    store = open_store("L")
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    second = store.commit(first, {STAGE: document(STAGE)}, entry())
    with pytest.raises(Stale) as refused:
        store.commit(first, {PROD: None}, entry())
    assert "serial 1" in refused.value.message
    assert "serial 2" in refused.value.message or "at 2" in refused.value.message
    assert store.read() == second


def test_loser_is_told_who_won(open_store: Callable[[str], StateStore]) -> None:
    """Who comes too late learns whose apply was first, when, and at which commit; also of a first apply."""
    store = open_store("L")
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry(who="ada"))
    with pytest.raises(Stale) as refused:
        store.commit(EMPTY, {PROD: document(PROD)}, entry(who="eve"))
    assert "ada on 2026-11-03T09:30:00.000Z at commit c0ffee" in refused.value.message
    store.commit(first, {STAGE: document(STAGE)}, entry(who="bob", commit=None))
    with pytest.raises(Stale) as refused:
        store.commit(first, {STAGE: document(STAGE)}, entry(who="eve"))
    assert "bob on 2026-11-03T09:30:00.000Z" in refused.value.message


def test_no_history_at_first(open_store: Callable[[str], StateStore]) -> None:
    """Where nothing was applied, history is empty."""
    assert () == open_store("L").history()


def test_history_keeps_every_apply(open_store: Callable[[str], StateStore]) -> None:
    """History gives back every entry as it was written, in order; times to the millisecond, in UTC."""
    store = open_store("L")
    at = datetime(2026, 11, 3, 10, 30, 0, 123000, tzinfo=timezone(timedelta(hours=1)))
    change = {
        "address": "acme/prod",
        "action": "create",
        "after": {"name": "反馈", "numbers": [1, 1.5, None]},
        "fields": [],
    }
    first = entry(at=at, branch="main", changes=(change,), lifted=("acme/prod: protected",))
    second = entry(who="bob", commit=None, note="rollback to 1")
    store.commit(store.commit(EMPTY, {PROD: document(PROD)}, first), {PROD: None}, second)
    records = open_store("other").history()
    assert [(1, first), (2, second)] == [(record.serial, record.entry) for record in records]
    assert [] == list(find_breaks("L", 2, records))


def test_the_last_check_is_made_inside_the_transaction(open_store: Callable[[str], StateStore]) -> None:
    """A commit calls the check with the store's time, once, and a check that raises leaves the state as it was."""
    store = open_store("L")
    times: list[datetime] = []
    begun = store.now()
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry(), times.append)
    second = store.commit(first, {STAGE: document(STAGE)}, entry(), times.append)
    ended = store.now()
    assert [begun, *times, ended] == sorted([begun, *times, ended])
    assert 2 == len(times)
    assert all(one.tzinfo is not None for one in times)

    def refuse(_: datetime) -> None:
        raise Blocked("a freeze window has begun")

    with pytest.raises(Blocked):
        store.commit(second, {PROD: None}, entry(), refuse)
    assert second == open_store("other").read()
    assert 2 == len(store.history())


def test_a_stale_commit_makes_no_last_check(open_store: Callable[[str], StateStore]) -> None:
    """The check is about the state at the commit, so it is not made for another one."""
    store = open_store("L")
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    store.commit(first, {STAGE: document(STAGE)}, entry())
    times: list[datetime] = []
    with pytest.raises(Stale):
        store.commit(first, {PROD: None}, entry(), times.append)
    assert [] == times


def test_a_refused_first_commit_leaves_no_state(open_store: Callable[[str], StateStore]) -> None:
    """If the last check refuses the first commit, there is still no state."""

    def refuse(_: datetime) -> None:
        raise Blocked("no")

    with pytest.raises(Blocked):
        open_store("L").commit(EMPTY, {PROD: document(PROD)}, entry(), refuse)
    assert EMPTY == open_store("L").read()


def set_policy(text: str | None, who: str = "eve") -> HistoryEntry:
    return entry(who, policy=PolicyChange(text, "policies/policy.yaml"))


def test_policy_is_set_replaced_and_removed(open_store: Callable[[str], StateStore]) -> None:
    """The state holds one policy with the serial that set it; a later apply keeps it, until it is removed."""
    store = open_store("L")
    first = store.commit(EMPTY, {}, set_policy('{"rules":["ä"]}'))
    kept = store.commit(first, {PROD: document(PROD)}, entry())
    assert StoredPolicy.of('{"rules":["ä"]}', 1) == kept.policy == first.policy
    assert kept == open_store("other").read()
    assert digest({"rules": ["ä"]}) == StoredPolicy.of('{"rules":["ä"]}', 1).hash
    replaced = store.commit(kept, {}, set_policy('{"rules":[]}'))
    assert StoredPolicy.of('{"rules":[]}', 3) == replaced.policy == open_store("other").read().policy
    removed = store.commit(replaced, {}, set_policy(None))
    assert removed == open_store("other").read()
    assert removed.policy is None
    assert {PROD} == removed.webhooks.keys()
    assert [("eve", 1), ("ada", 2), ("eve", 3), ("eve", 4)] == [(r.entry.who, r.serial) for r in store.history()]


def test_moves_are_kept_in_the_order_of_their_serials(open_store: Callable[[str], StateStore]) -> None:
    """Every move of an apply is recorded with its serial, and remains after later applies."""
    store = open_store("L")
    other = Address("beta", "prod")
    first = store.commit(EMPTY, {PROD: document(PROD), STAGE: document(STAGE)}, entry())
    moved = ({"address": "beta/prod", "action": "move", "movedFrom": "acme/stage", "fields": []},)
    second = store.commit(first, {STAGE: None, other: document(other)}, entry(changes=moved))
    two = (
        {"address": "acme/b", "action": "move", "movedFrom": "beta/prod", "fields": []},
        {"address": "acme/a", "action": "move", "movedFrom": "acme/prod", "fields": []},
    )
    last = store.commit(second, {}, entry(changes=two))
    assert last == open_store("other").read()
    assert (Move(STAGE, other, 2),) == second.moves
    expected = Move(STAGE, other, 2), Move(PROD, Address("acme", "a"), 3), Move(other, Address("acme", "b"), 3)
    assert expected == last.moves
    assert last.moves == store.commit(last, {PROD: None}, entry()).moves


def test_history_keeps_policy_and_overrides(open_store: Callable[[str], StateStore]) -> None:
    """History gives back the policy that an apply set and the rules that it lifted; the chain covers both."""
    store = open_store("L")
    overridden = entry(overrides=(Override("freeze", "hot fix ✓"), Override("jwt", "trial")))
    entries = (set_policy('{"a":1}'), overridden, set_policy(None))
    snapshot = EMPTY
    for one in entries:
        snapshot = store.commit(snapshot, {}, one)
    records = open_store("other").history()
    assert entries == tuple(record.entry for record in records)
    assert [] == list(find_breaks("L", 3, records))
    for number, forged in ((0, set_policy('{"a":2}')), (1, replace(overridden, overrides=()))):
        edited = (*records[:number], replace(records[number], entry=forged), *records[number + 1 :])
        assert [number + 1] == [one.serial for one in find_breaks("L", 3, edited)]


def test_history_is_sealed_one_on_the_other(open_store: Callable[[str], StateStore]) -> None:
    """The hash of every entry is over its content and the hash before it, the first one's over the lineage."""
    store = open_store("L")
    store.commit(store.commit(EMPTY, {}, entry()), {}, entry(who="bob"))
    first, second = store.history()
    assert entry_hash(genesis_hash("L"), 1, entry()) == first.hash
    assert entry_hash(first.hash, 2, entry(who="bob")) == second.hash


def test_refused_commit_leaves_no_history(open_store: Callable[[str], StateStore]) -> None:
    """An apply that was refused as stale is not in the history."""
    store = open_store("L")
    store.commit(EMPTY, {PROD: document(PROD)}, entry())
    with pytest.raises(Stale):
        store.commit(EMPTY, {PROD: document(PROD)}, entry(who="eve"))
    assert ["ada"] == [record.entry.who for record in store.history()]


def test_second_first_commit_is_stale(open_store: Callable[[str], StateStore]) -> None:
    """Of two that both found no state, the second is refused and the first one's lineage stays."""
    open_store("L1").commit(EMPTY, {PROD: document(PROD)}, entry())
    with pytest.raises(Stale):
        open_store("L2").commit(EMPTY, {STAGE: document(STAGE)}, entry())
    assert open_store("x").version() == ("L1", 1)


def test_other_lineage_is_stale(open_store: Callable[[str], StateStore]) -> None:
    """A state of the same serial but another lineage is another state."""
    store = open_store("L1")
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    foreign = EMPTY.after("L2", {PROD: document(PROD)})
    with pytest.raises(Stale):
        store.commit(foreign, {PROD: None}, entry())
    assert store.read() == first


def test_failed_commit_writes_nothing(open_store: Callable[[str], StateStore]) -> None:
    """When the history entry cannot be written, no webhook is written either."""
    store = open_store("L")
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    with pytest.raises(TypeError):
        store.commit(first, {STAGE: document(STAGE)}, entry(changes=({"not JSON": object()},)))
    assert store.read() == first
    assert store.commit(first, {STAGE: document(STAGE)}, entry()).serial == 2


@pytest.mark.parametrize("stored", [False, True], ids=["first commit", "later commit"])
def test_one_of_eight_wins(open_store: Callable[[str], StateStore], stored: bool) -> None:
    """Of eight commits at once on the same base exactly one is written; the others are told so."""
    base = open_store("L").commit(EMPTY, {STAGE: document(STAGE)}, entry()) if stored else EMPTY
    barrier = threading.Barrier(8)
    results: list[int | HooklineError] = []

    def run(number: int) -> None:
        store = open_store(f"L{number}")
        barrier.wait()
        try:
            store.commit(base, {PROD: document(PROD, url=f"https://hooks.acme.example/{number}")}, entry())
            results.append(number)
        except (Stale, Unusable) as lost:
            results.append(lost)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winners = [result for result in results if isinstance(result, int)]
    assert (len(winners), len(results)) == (1, 8)
    found = open_store("x").read()
    assert found.serial == base.serial + 1
    assert [] == list(find_breaks(str(found.lineage), found.serial, open_store("x").history()))
    assert found.webhooks[PROD].webhook.url == f"https://hooks.acme.example/{winners[0]}"
