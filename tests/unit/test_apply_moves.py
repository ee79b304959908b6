"""Moves of webhooks: what apply records, what it refuses, and when a saved plan with a move is stale."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import declared, document
from hookline.apply import apply_plan, apply_saved_plan, rebase_saved_plan
from hookline.errors import Blocked, Stale
from hookline.model import Address, Declared, Desired
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Action, Plan
from hookline.plan.plan_document import plan_document
from hookline.plan.plan_file import read_plan
from hookline.plan.planner import count_pending, make_plan
from hookline.provenance import Provenance
from hookline.state.drift import find_drift
from hookline.state.history_chain import find_breaks
from hookline.state.history_replay import blame_fields, desired_at
from hookline.state.sqlite_store import SqliteStore
from hookline.state.store import EMPTY, Move, Snapshot, StateStore

NOW = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
ADA, BOB = Provenance("ada", "c0ffee", "main"), Provenance("bob", "b0b" + "0" * 37, "fix")
STAGE, PROD, LIVE = (Address("acme", name) for name in ("stage", "prod", "live"))
ANYTHING = DeletionLimits(allow_delete=frozenset({STAGE, PROD, LIVE}), max_deletes=99, allow_move=True)


def files(*webhooks: Declared, moved: dict[Address, Address] | None = None, narrowed: bool = False) -> Desired:
    """The webhooks of files; `moved` gives the earlier addresses, by present address."""
    found = {
        Address(*(json.loads(one.canonical)[key] for key in ("organization", "sandbox"))): one for one in webhooks
    }
    return Desired(dict(sorted(found.items())), narrowed, moved_from=moved or {})


def at(address: Address, **fields: object) -> Declared:
    return declared(document(address, **fields), f"webhooks/{address}.yaml")


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    """A state with the webhooks acme/kept and acme/stage."""
    store = SqliteStore(tmp_path / "state.db", new_lineage=lambda: "L")
    plan = make_plan(EMPTY, files(at(STAGE), at(Address("acme", "kept"))), DeletionLimits())
    apply_plan(store, EMPTY, plan, ADA, NOW)
    return store


KEPT = at(Address("acme", "kept"))
MOVED = files(KEPT, at(PROD), moved={PROD: STAGE})


def planned(store: StateStore, wanted: Desired, limits: DeletionLimits | None = None) -> Plan:
    return make_plan(store.read(), wanted, limits or DeletionLimits())


def applied(store: StateStore, wanted: Desired, limits: DeletionLimits = ANYTHING, who: Provenance = BOB) -> Snapshot:
    stored = store.read()
    return apply_plan(store, stored, make_plan(stored, wanted, limits), who, NOW)


def saved(plan: Plan) -> Plan:
    return read_plan(json.dumps(plan_document(plan)).encode(), "plan.json")


def test_move_is_applied_and_recorded(store: StateStore) -> None:
    """A move takes the webhook to its new address, is in the state and the history, and then plans nothing."""
    plan = planned(store, MOVED)
    assert [(PROD, Action.MOVE, STAGE)] == [(one.address, one.action, one.moved_from) for one in plan.changes]
    assert ["/sandbox"] == [field.path for field in plan.changes[0].fields]
    after = apply_plan(store, store.read(), plan, ADA, NOW)
    assert store.read() == after
    assert [Address("acme", "kept"), PROD] == list(after.webhooks)
    assert (Move(STAGE, PROD, 2),) == after.moves
    records = store.history()
    assert ("move", "acme/stage") == (records[1].entry.changes[0]["action"], records[1].entry.changes[0]["movedFrom"])
    assert [] == list(find_breaks("L", 2, records))
    assert not find_drift(after, records)
    assert () == planned(store, MOVED).changes == planned(store, files(KEPT, at(PROD))).changes


def test_move_with_other_changes_is_one_change(store: StateStore) -> None:
    """A move that changes fields too is one change with all fields, and its document is the one of the file."""
    wanted = files(KEPT, at(PROD, name="New", url="https://new.example/"), moved={PROD: STAGE})
    (change,) = planned(store, wanted).changes
    assert ["/name", "/sandbox", "/url"] == [field.path for field in change.fields]
    assert "New" == applied(store, wanted).webhooks[PROD].webhook.name


def test_chain_of_moves_over_several_applies(store: StateStore) -> None:
    """A webhook may move again and again: every move is recorded; an older `movedFrom` that remains plans nothing."""
    applied(store, MOVED)
    after = applied(store, files(KEPT, at(LIVE), moved={LIVE: PROD}))
    assert (Move(STAGE, PROD, 2), Move(PROD, LIVE, 3)) == after.moves
    for earlier in (STAGE, PROD):
        assert () == planned(store, files(KEPT, at(LIVE), moved={LIVE: earlier})).changes


def test_applied_move_stays_applied_when_the_old_address_is_used_again(store: StateStore) -> None:
    """If another webhook was created at the earlier address since, `movedFrom` still has no effect."""
    applied(store, MOVED)
    applied(store, files(KEPT, at(PROD), at(STAGE, name="Another")))
    assert () == planned(store, files(KEPT, at(PROD), at(STAGE, name="Another"), moved={PROD: STAGE})).changes


def test_move_back_and_again(store: StateStore) -> None:
    """A webhook that moved back can move to the same address again."""
    applied(store, MOVED)
    applied(store, files(KEPT, at(STAGE), moved={STAGE: PROD}))
    again = applied(store, MOVED)
    assert [(STAGE, PROD), (PROD, STAGE), (STAGE, PROD)] == [(move.old, move.new) for move in again.moves]


def test_move_is_refused_while_the_state_holds_both(store: StateStore) -> None:
    """If the state holds both addresses, the plan is blocked whatever is allowed, and names the file to correct."""
    applied(store, files(KEPT, at(STAGE), at(PROD)))
    before = store.read()
    for plan in (planned(store, MOVED, ANYTHING), saved(planned(store, MOVED, ANYTHING))):
        with pytest.raises(Blocked, match="a move: acme/prod: the state holds both addresses") as refused:
            apply_plan(store, before, plan, ADA, NOW)
        assert 6 == refused.value.exit_code
        assert "acme/stage" in refused.value.message
    assert "correct movedFrom in webhooks/acme/prod.yaml:1" == refused.value.hint
    with pytest.raises(Blocked, match="the state holds both addresses"):
        apply_saved_plan(store, saved(planned(store, MOVED)), ANYTHING, ADA, NOW)
    assert before == store.read()


def test_swap_and_chain_in_one_plan_are_refused(store: StateStore) -> None:
    """Two webhooks cannot exchange their addresses, or move one behind the other, in one apply."""
    applied(store, files(KEPT, at(STAGE), at(PROD)))
    swap = files(KEPT, at(STAGE), at(PROD), moved={PROD: STAGE, STAGE: PROD})
    chain = files(KEPT, at(PROD), at(LIVE), moved={PROD: STAGE, LIVE: PROD})
    for wanted, blocked in ((swap, {PROD, STAGE}), (chain, {PROD})):
        assert blocked == {change.address for change in planned(store, wanted, ANYTHING).blocked}


def test_protected_webhook_does_not_move(store: StateStore) -> None:
    """A protected webhook moves only with --allow-delete for its earlier address; the history records that."""
    applied(store, files(KEPT, at(STAGE, protected=True)))
    wanted = files(KEPT, at(PROD, protected=True), moved={PROD: STAGE})
    with pytest.raises(Blocked, match="blocks a move: acme/prod: the applied webhook is protected") as refused:
        applied(store, wanted, DeletionLimits(max_deletes=9))
    assert "webhooks/acme/prod.yaml:1; otherwise allow it with --allow-delete acme/stage" in str(refused.value.hint)
    applied(store, wanted, DeletionLimits(allow_delete=frozenset({STAGE})))
    expected = "acme/prod: the applied webhook is protected (allowed by --allow-delete acme/stage)"
    assert (expected,) == store.history()[-1].entry.lifted


def test_move_to_another_organization(store: StateStore) -> None:
    """A move to another organization needs --allow-move, which the history records."""
    other = Address("beta", "stage")
    wanted = files(KEPT, at(other), moved={other: STAGE})
    with pytest.raises(Blocked, match="beta/stage: the webhook moves to another organization, beta") as refused:
        applied(store, wanted, DeletionLimits(allow_delete=frozenset({STAGE}), max_deletes=9))
    assert str(refused.value.hint).endswith("otherwise allow it with --allow-move")
    assert (Move(STAGE, other, 2),) == applied(store, wanted, DeletionLimits(allow_move=True)).moves
    expected = "beta/stage: the webhook moves to another organization, beta (allowed by --allow-move)"
    assert (expected,) == store.history()[-1].entry.lifted


def test_moves_count_as_deletions(store: StateStore) -> None:
    """The limit on the share of deletions covers moves, and --max-deletes lifts it for their number."""
    every = [Address("acme", f"s{number}") for number in range(10)]
    targets = {Address("acme", f"t{number}"): old for number, old in enumerate(every[:4])}
    applied(store, files(*map(at, every)))
    wanted = files(*map(at, (*targets, *every[4:])), moved=targets)
    with pytest.raises(Blocked, match="blocks 4 moves: acme/t0: 4 of 10 webhooks would be moved, more than 30%"):
        applied(store, wanted, DeletionLimits())
    with pytest.raises(Blocked, match="4 webhooks would be moved, more than --max-deletes 3"):
        applied(store, wanted, DeletionLimits(max_deletes=3))
    assert 4 == len(applied(store, wanted, DeletionLimits(max_deletes=4)).moves)


def test_blocked_deletion_beside_a_blocked_move(store: StateStore) -> None:
    """The message names the first of several blocked changes, and its own option."""
    applied(store, files(KEPT, at(STAGE, protected=True), at(Address("acme", "a"), protected=True)))
    with pytest.raises(Blocked, match=r"blocks 2 changes: acme/a: .* \(and 1 more\)") as refused:
        applied(store, MOVED, DeletionLimits())
    assert "--allow-delete acme/a; the plan shows the reason for each of the others" in str(refused.value.hint)


def test_narrowed_run_moves_its_webhook_only(store: StateStore) -> None:
    """A run that is narrowed to the new address moves the webhook, and deletes none."""
    after = applied(store, files(at(PROD), moved={PROD: STAGE}, narrowed=True), DeletionLimits())
    assert [Address("acme", "kept"), PROD] == list(after.webhooks)
    assert (Move(STAGE, PROD, 2),) == after.moves


def test_pending_deliveries_of_both_addresses(store: StateStore) -> None:
    """A move affects what is pending for its earlier address, and what is still pending for the new one."""
    pending = {STAGE: 214, PROD: 2}
    (change,) = make_plan(store.read(), MOVED, DeletionLimits(), pending).changes
    assert 216 == change.pending
    (again,) = count_pending(planned(store, MOVED), {STAGE: 5}).changes
    assert (5, None) == (again.pending, planned(store, MOVED).changes[0].pending)


def test_saved_move_is_applied(store: StateStore) -> None:
    """A saved plan moves the webhook, also after applies to other webhooks."""
    plan = saved(planned(store, MOVED))
    applied(store, files(at(Address("acme", "kept"), name="New"), at(STAGE)))
    assert (1, 0) == (rebase_saved_plan(store, plan, DeletionLimits())[1].unchanged, len(store.read().moves))
    after = apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)
    assert ((Move(STAGE, PROD, 3),), {"New", "Feedback"}) == (
        after.moves,
        {stored.webhook.name for stored in after.webhooks.values()},
    )
    with pytest.raises(Stale, match="this plan was applied already, by ada"):
        apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (files(KEPT, at(STAGE, name="New")), "acme/stage was updated by bob"),
        (files(KEPT, at(STAGE), at(PROD)), "acme/prod was created by bob"),
        (files(KEPT), "acme/stage was deleted by bob"),
        (files(KEPT, at(LIVE), moved={LIVE: STAGE}), "acme/stage was moved to acme/live by bob"),
    ],
    ids=["updated", "created", "deleted", "moved"],
)
def test_saved_move_is_stale_for_both_addresses(store: StateStore, between: Desired, message: str) -> None:
    """A saved move is stale if an apply has touched its old or its new address; the message names it."""
    plan = saved(planned(store, MOVED))
    before = applied(store, between)
    with pytest.raises(Stale, match=message):
        apply_saved_plan(store, plan, ANYTHING, ADA, NOW)
    assert before == store.read()


def test_saved_update_is_stale_after_a_move(store: StateStore) -> None:
    """A saved update of a webhook that has moved since is stale, and the message names the new address."""
    plan = saved(planned(store, files(KEPT, at(STAGE, name="New"))))
    applied(store, MOVED)
    with pytest.raises(Stale, match=r"acme/stage was moved to acme/prod by bob on .* in serial 2"):
        apply_saved_plan(store, plan, ANYTHING, ADA, NOW)


def test_saved_move_knows_no_options(store: StateStore) -> None:
    """The options that allow a move are given with the apply: a saved plan contains none of them."""
    other = Address("beta", "stage")
    plan = saved(planned(store, files(KEPT, at(other), moved={other: STAGE}), ANYTHING))
    with pytest.raises(Blocked, match="another organization"):
        apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)
    assert 1 == len(apply_saved_plan(store, plan, DeletionLimits(allow_move=True), ADA, NOW).moves)


def test_blame_follows_a_move(store: StateStore) -> None:
    """A field that a move did not change keeps the apply that set it, over several moves and a deletion before."""
    applied(store, files(KEPT))
    applied(store, files(KEPT, at(STAGE, owner="crm")))
    applied(store, files(KEPT, at(PROD, owner="crm", name="New"), moved={PROD: STAGE}))
    after = applied(store, files(KEPT, at(LIVE, owner="crm", name="New", enabled=False), moved={LIVE: PROD}))
    blamed = blame_fields(LIVE, after.webhooks[LIVE].document, store.history())
    serials = {one.path: one.record and one.record.serial for one in blamed}
    assert {"/url": 3, "/owner": 3, "/name": 4, "/sandbox": 5, "/enabled": 5} == {
        path: serials[path] for path in ("/url", "/owner", "/name", "/sandbox", "/enabled")
    }


def test_drift_of_a_moved_webhook(store: StateStore) -> None:
    """After moves the replay of the history is the state; a webhook that moved by hand is drift at both addresses."""
    after = applied(store, MOVED)
    records = store.history()
    assert not find_drift(after, records)
    webhooks = {**after.webhooks, LIVE: after.webhooks[PROD]}
    del webhooks[PROD]
    drift = find_drift(replace(after, webhooks=webhooks), records)
    assert [(LIVE, None), (PROD, 2)] == [(one.address, one.serial) for one in drift.webhooks]


def test_rollback_over_moves_moves_back(store: StateStore) -> None:
    """The way back over moves is one move from the present address, with the fields of then."""
    applied(store, MOVED)
    applied(store, files(KEPT, at(LIVE, name="New"), moved={LIVE: PROD}))
    plan = planned(store, desired_at(store.history(), 1))
    assert [(STAGE, LIVE, ["/name", "/sandbox"])] == [
        (one.address, one.moved_from, [field.path for field in one.fields]) for one in plan.changes
    ]
    after = apply_plan(store, store.read(), plan, ADA, NOW, note="rollback to 1")
    assert Move(LIVE, STAGE, 4) == after.moves[-1]
    forward = apply_plan(store, after, planned(store, desired_at(store.history(), 2)), ADA, NOW)
    assert (Move(STAGE, PROD, 5), [Address("acme", "kept"), PROD]) == (forward.moves[-1], list(forward.webhooks))


def test_rollback_to_an_address_in_use(store: StateStore) -> None:
    """If another webhook has the address of then, the way back updates that one and deletes the moved one."""
    applied(store, MOVED)
    applied(store, files(KEPT, at(PROD), at(STAGE, name="Another")))
    plan = planned(store, desired_at(store.history(), 1))
    assert [(PROD, Action.DELETE), (STAGE, Action.UPDATE)] == [(one.address, one.action) for one in plan.changes]


def test_rollback_over_a_deletion_after_a_move(store: StateStore) -> None:
    """A webhook that moved and was deleted is created at its address of then."""
    applied(store, MOVED)
    applied(store, files(KEPT))
    assert [(STAGE, Action.CREATE)] == [
        (one.address, one.action) for one in planned(store, desired_at(store.history(), 1)).changes
    ]


names = st.sampled_from("abcdef").map(lambda name: Address("acme", name))


@settings(max_examples=25)
@given(
    before=st.frozensets(names, min_size=1),
    moves=st.dictionaries(names, st.sampled_from("uvwxyz"), max_size=4),
    more=st.frozensets(names),
    gone=st.frozensets(names),
)
def test_apply_of_moves_reaches_the_files(
    before: frozenset[Address], moves: dict[Address, str], more: frozenset[Address], gone: frozenset[Address]
) -> None:
    """After any apply with moves the next plan is empty, history gives the state, and a rollback the one before."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "state.db", new_lineage=lambda: "L")
        everything = DeletionLimits(max_deletes=99)
        first = applied(store, files(*(at(one, owner=one.sandbox) for one in sorted(before))), everything)
        moved = {Address("acme", new): old for old, new in sorted(moves.items())}
        kept = (before | more) - gone - frozenset(moves)
        wanted = files(*(at(one, owner=one.sandbox) for one in sorted(kept | frozenset(moved))), moved=moved)
        if not wanted.webhooks:
            return
        plan = planned(store, wanted, everything)
        after = apply_plan(store, first, plan, ADA, NOW)
        assert wanted.webhooks.keys() == after.webhooks.keys()
        assert {old for old in moved.values() if old in before} == {move.old for move in after.moves}
        assert () == planned(store, wanted).changes
        assert not find_drift(after, store.history())
        back = planned(store, desired_at(store.history(), 1), everything)
        restored = apply_plan(store, after, back, ADA, NOW)
        assert first.webhooks == restored.webhooks
        assert not find_drift(restored, store.history())
