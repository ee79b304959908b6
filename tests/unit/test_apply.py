"""The laws of plan and apply, over random states, and what apply refuses and records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from builders import desired, document
from canonical_writer import write_webhook
from hookline import canonical
from hookline.apply import MAX_COMMIT_ATTEMPTS, apply_plan, apply_saved_plan, check_commit_order, raise_if_blocked
from hookline.canonical import canonical_document, canonical_text
from hookline.converters import ValueConverter
from hookline.errors import Blocked, Stale
from hookline.model import (
    Address,
    Channel,
    Declared,
    DeliveryPolicy,
    Desired,
    EnvRef,
    FeedbackStatus,
    FileLocation,
    FileRef,
    JwtAuthentication,
    NoAuthentication,
    RetryPolicy,
    SigningKey,
    Webhook,
)
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Action, Plan
from hookline.plan.plan_document import plan_document
from hookline.plan.plan_file import read_plan
from hookline.plan.planner import make_plan
from hookline.plan.render_text import render_text
from hookline.provenance import Provenance
from hookline.schemas import load_schema
from hookline.state.store import EMPTY, NONE_DECLARED, Confirm, HistoryEntry, HistoryRecord, Snapshot
from hookline.units import Rate

NOW = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
ADA = Provenance("ada", "c0ffee", "main")


class MemoryStore:
    """A StateStore that keeps its snapshot and history in memory. `overtake` is called once, before a commit."""

    def __init__(self) -> None:
        self.snapshot = EMPTY
        self.entries: list[HistoryEntry] = []
        self.overtake: Callable[[], object] | None = None
        self.commits = 0

    def history(self) -> tuple[HistoryRecord, ...]:
        return tuple(HistoryRecord(serial, entry, "sha256:") for serial, entry in enumerate(self.entries, 1))

    def read(self, _declared: Mapping[Address, Declared] = NONE_DECLARED) -> Snapshot:
        return self.snapshot

    def version(self) -> tuple[str | None, int]:
        return self.snapshot.lineage, self.snapshot.serial

    def now(self) -> datetime:
        return NOW

    def commit(
        self,
        base: Snapshot,
        written: Mapping[Address, Mapping[str, Any] | None],
        entry: HistoryEntry,
        confirm: Confirm | None = None,
    ) -> Snapshot:
        self.commits += 1
        overtake, self.overtake = self.overtake, None
        if overtake is not None:
            overtake()
        if (base.lineage, base.serial) != self.version():
            raise Stale("moved")
        if confirm is not None:
            confirm(self.now())
        self.snapshot = base.after("L", written, entry)
        self.entries.append(entry)
        return self.snapshot


texts = st.text(min_size=1, max_size=8)
references = st.builds(EnvRef, texts) | st.builds(FileRef, texts)
seconds = st.integers(1, 10_000).map(lambda number: timedelta(seconds=number))
integers = st.integers(1 - 2**53, 2**53 - 1)  # what every reader of JSON keeps, and webhook files may hold
claims = st.dictionaries(texts, st.none() | st.booleans() | integers | texts | st.lists(texts), max_size=3)
authentications = st.just(NoAuthentication()) | st.builds(
    JwtAuthentication,
    algorithm=st.sampled_from(["ES256", "HS256"]),
    keys=st.lists(st.builds(SigningKey, texts, references), min_size=1, max_size=3).map(tuple),
    issuer=st.none() | texts,
    lifetime=seconds,
    one_time=st.booleans(),
    claims=claims,
)
deliveries = st.builds(
    DeliveryPolicy,
    timeout=seconds,
    concurrency=st.integers(1, 64),
    rate_limit=st.none() | st.builds(Rate, st.integers(1, 99), st.sampled_from([1, 60, 3600])),
    retry=st.builds(RetryPolicy, initial_delay=seconds, max_delay=seconds, max_age=seconds),
)
addresses = st.builds(Address, st.sampled_from(["acme", "beta"]), st.sampled_from("abcdef"))
header_names = st.sampled_from(["x-a", "x-b", "x-c", "__d"])
webhooks = st.builds(
    Webhook,
    address=addresses,
    sandbox_id=st.none() | texts,
    name=texts,
    description=st.none() | texts,
    channels=st.frozensets(st.sampled_from(Channel), min_size=1),
    url=texts,
    authentication=authentications,
    headers=st.dictionaries(header_names, texts | references, max_size=3).map(
        lambda found: tuple(sorted(found.items()))
    ),
    campaigns=st.none() | st.frozensets(texts, min_size=1, max_size=3),
    events=st.frozensets(st.sampled_from(FeedbackStatus), min_size=1),
    delivery=deliveries,
    enabled=st.booleans(),
    protected=st.booleans(),
)
sources = st.builds(FileLocation, texts, st.integers(1, 99))
declared = st.lists(st.tuples(webhooks, sources), max_size=8).map(
    lambda found: {one.address: Declared(canonical_text(write_webhook(one)), source) for one, source in found}
)


def anything_goes(stored: Snapshot) -> DeletionLimits:
    return DeletionLimits(allow_delete=frozenset(stored.webhooks))


def reach(store: MemoryStore, wanted: Desired) -> Snapshot:
    stored = store.read()
    return apply_plan(store, stored, make_plan(stored, wanted, anything_goes(stored)), ADA, NOW)


@settings(max_examples=60)
@given(prior=declared, wanted=declared)
def test_apply_reaches_what_is_desired(prior: dict[Address, Declared], wanted: dict[Address, Declared]) -> None:
    """Whatever was applied before: after apply the state holds what is desired, and the next plan is empty."""
    store = MemoryStore()
    reach(store, Desired(prior))
    after = reach(store, Desired(wanted))
    assert {address: one.canonical for address, one in wanted.items()} == {
        address: stored.canonical for address, stored in after.webhooks.items()
    }
    assert make_plan(after, Desired(wanted), DeletionLimits()).changes == ()


@settings(max_examples=60)
@given(prior=declared, wanted=declared)
def test_narrowed_apply_reaches_its_part(prior: dict[Address, Declared], wanted: dict[Address, Declared]) -> None:
    """A narrowed apply makes its part what is desired and leaves every other webhook as it was."""
    store = MemoryStore()
    reach(store, Desired(prior))
    after = reach(store, Desired(wanted, narrowed=True))
    assert {address: one.canonical for address, one in (prior | wanted).items()} == {
        address: stored.canonical for address, stored in after.webhooks.items()
    }


@settings(max_examples=60)
@given(prior=declared, wanted=declared, data=st.data())
def test_plan_does_not_depend_on_order(
    prior: dict[Address, Declared], wanted: dict[Address, Declared], data: st.DataObject
) -> None:
    """However the files and the rows are ordered, plan, text, JSON and fingerprint are the same."""
    store = MemoryStore()
    stored = reach(store, Desired(prior))
    shuffled = dict(data.draw(st.permutations(list(wanted.items()))))
    rows = dict(data.draw(st.permutations(list(stored.webhooks.items()))))
    plan = make_plan(stored, Desired(wanted), DeletionLimits())
    other = make_plan(Snapshot(stored.lineage, stored.serial, rows), Desired(shuffled), DeletionLimits())
    assert repr(plan_document(plan)) == repr(plan_document(other))
    assert render_text(plan) == render_text(other)
    assert plan.changes == tuple(sorted(plan.changes, key=lambda change: change.address))


@settings(max_examples=60)
@given(prior=declared, wanted=declared)
def test_every_update_names_its_fields(prior: dict[Address, Declared], wanted: dict[Address, Declared]) -> None:
    """An update shows at least one field, each once, and every one of them differs."""
    stored = reach(MemoryStore(), Desired(prior))
    for change in make_plan(stored, Desired(wanted), DeletionLimits()).changes:
        if change.action is Action.UPDATE:
            paths = [field.path for field in change.fields]
            assert paths
            assert len(set(paths)) == len(paths)
            assert all(repr(field.before) != repr(field.after) for field in change.fields)


@settings(max_examples=60)
@given(wanted=declared)
def test_plan_holds_no_unprintable_character(wanted: dict[Address, Declared]) -> None:
    """No webhook file can put a control character into the text of a plan."""
    for row in render_text(make_plan(EMPTY, Desired(wanted), DeletionLimits())):
        assert "".join(character for character in row.text if not character.isprintable()) == ""


def test_history_entry() -> None:
    """An apply records when, who, at which commit and branch, the plan's fingerprint and its changes."""
    store = MemoryStore()
    plan = make_plan(EMPTY, desired(document("prod")), DeletionLimits())
    apply_plan(store, EMPTY, plan, ADA, NOW)
    (entry,) = store.entries
    changes = tuple(plan_document(plan)["changes"])
    assert (
        HistoryEntry(at=NOW, who="ada", commit="c0ffee", branch="main", fingerprint=plan.fingerprint, changes=changes)
        == entry
    )


def test_lifted_brakes_are_recorded() -> None:
    """Which brake was lifted, for which webhook and by what, stays in the history."""
    store = MemoryStore()
    stored = reach(store, desired(document("prod", protected=True), document("stage")))
    plan = make_plan(
        stored, desired(document("stage")), DeletionLimits(allow_delete=frozenset({Address("acme", "prod")}))
    )
    apply_plan(store, stored, plan, ADA, NOW)
    assert store.entries[-1].lifted == (
        "acme/prod: the applied webhook is protected (allowed by --allow-delete acme/prod)",
    )


def test_nothing_to_do_writes_nothing() -> None:
    """An empty plan makes no serial and no history entry."""
    store = MemoryStore()
    stored = reach(store, desired(document("prod")))
    assert stored == reach(store, desired(document("prod")))
    assert len(store.entries) == 1


def test_blocked_plan_is_not_applied_in_part() -> None:
    """When one deletion is blocked the other changes are not made either, and the message says how to aim."""
    store = MemoryStore()
    stored = reach(store, desired(document("prod", protected=True), document("stage")))
    plan = make_plan(stored, desired(document("stage", name="Other")), DeletionLimits())
    with pytest.raises(Blocked, match="acme/prod: the applied webhook is protected") as refused:
        apply_plan(store, stored, plan, ADA, NOW)
    assert "--allow-delete acme/prod" in str(refused.value.hint)
    assert stored == store.read()


def test_state_that_moved() -> None:
    """A plan made on a state that has moved since is stale, and writes nothing."""
    store = MemoryStore()
    plan = make_plan(EMPTY, desired(document("prod")), DeletionLimits())
    moved = reach(store, desired(document("stage")))
    with pytest.raises(Stale):
        apply_plan(store, EMPTY, plan, ADA, NOW)
    assert moved == store.read()


def saved(plan: Plan) -> Plan:
    """The plan as it comes back from its file."""
    return read_plan(json.dumps(plan_document(plan)).encode(), "plan.json")


def save(store: MemoryStore, wanted: Desired) -> Plan:
    stored = store.read()
    return saved(make_plan(stored, wanted, anything_goes(stored)))


BOB = Provenance("bob", "b0b" + "0" * 37, "fix")


def by_bob(store: MemoryStore, wanted: Desired) -> Snapshot:
    stored = store.read()
    return apply_plan(store, stored, make_plan(stored, wanted, anything_goes(stored)), BOB, NOW)


@settings(max_examples=60)
@given(prior=declared, wanted=declared, others=declared)
def test_saved_plan_reaches_what_was_planned(
    prior: dict[Address, Declared], wanted: dict[Address, Declared], others: dict[Address, Declared]
) -> None:
    """A saved plan does what it says, whatever became of other webhooks meanwhile, and leaves those alone."""
    store = MemoryStore()
    first = desired(document("first")).webhooks
    reach(store, Desired({**prior, **first}))
    plan = save(store, Desired({**wanted, **first}))
    touched = {change.address for change in plan.changes}
    reach(store, Desired({address: one for address, one in others.items() if address not in touched}, narrowed=True))
    between = store.read()
    after = apply_saved_plan(store, plan, anything_goes(between), ADA, NOW)
    assert {change.address: change.after for change in plan.changes} == {
        address: after.webhooks[address].document if address in after.webhooks else None for address in touched
    }
    assert {a: one for a, one in between.webhooks.items() if a not in touched} == {
        a: one for a, one in after.webhooks.items() if a not in touched
    }


def test_saved_plan_is_overtaken() -> None:
    """An apply that is quicker, and touches other webhooks, only makes a saved plan be judged once more."""
    store = MemoryStore()
    reach(store, desired(document("prod")))
    plan = save(store, desired(document("prod", name="New")))
    store.overtake = lambda: by_bob(store, desired(document("prod"), document("stage")))
    after = apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)
    assert (3, ["acme/prod", "acme/stage"]) == (after.serial, [str(address) for address in after.webhooks])
    assert ["ada", "bob", "ada"] == [entry.who for entry in store.entries]


def test_saved_plan_is_overtaken_by_its_own_webhook() -> None:
    """An apply that is quicker, and touches a webhook of the plan, makes it stale; the message says who it was."""
    store = MemoryStore()
    reach(store, desired(document("prod")))
    plan = save(store, desired(document("prod", name="New"), document("stage")))
    store.overtake = lambda: by_bob(store, desired(document("prod", name="Bob's")))
    with pytest.raises(Stale) as refused:
        apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)
    assert (
        "nothing was applied: the state has changed since the plan was made (serial 1): acme/prod was updated by "
        "bob on 2026-11-03 09:30:00 UTC in serial 2 (commit b0b000000000 on fix)"
    ) == refused.value.message
    assert 2 == store.read().serial


def test_overtaken_without_end() -> None:
    """A saved plan is not judged again for ever: after a number of attempts it is stale."""
    store = MemoryStore()
    reach(store, desired(document("prod")))
    plan = save(store, desired(document("prod", name="New")))
    store.commits = 0

    def overtake() -> None:
        before = store.read()
        store.snapshot = before.after("L", {})
        store.overtake = overtake

    store.overtake = overtake
    with pytest.raises(Stale):
        apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)
    assert MAX_COMMIT_ATTEMPTS == store.commits


@pytest.mark.parametrize(
    ("wanted", "meanwhile", "told"),
    [
        (("prod", "stage"), ("prod", "stage"), "acme/stage was created by bob"),
        (("prod",), (), "acme/prod was deleted by bob"),
        ((), ("prod",), "acme/prod was updated by bob"),
    ],
    ids=["created", "deleted", "updated"],
)
def test_saved_plan_whose_webhook_has_changed(wanted: tuple[str, ...], meanwhile: tuple[str, ...], told: str) -> None:
    """Whatever a plan does to a webhook: it is stale when another apply created, updated or deleted it meanwhile."""
    store = MemoryStore()
    reach(store, desired(document("prod")))
    plan = save(store, desired(*(document(sandbox, name="New") for sandbox in wanted)))
    before = by_bob(store, desired(*(document(sandbox, name="Bob's") for sandbox in meanwhile)))
    with pytest.raises(Stale, match=told):
        apply_saved_plan(store, plan, anything_goes(before), ADA, NOW)
    assert before == store.read()


def test_saved_plan_applied_twice() -> None:
    """The second apply of a plan says that it was applied already, by whom and when."""
    store = MemoryStore()
    for serial, name in enumerate(("First", "New"), 1):
        plan = save(store, desired(document("prod", name=name)))
        apply_saved_plan(store, plan, DeletionLimits(), BOB, NOW)
        told = f"this plan was applied already, by bob on 2026-11-03 09:30:00 UTC in serial {serial}"
        with pytest.raises(Stale, match=told):
            apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)
        assert serial == store.read().serial


def test_saved_plan_moved_by_hand() -> None:
    """A webhook that no apply has changed, and that is another one all the same, was edited by hand."""
    store = MemoryStore()
    reach(store, desired(document("prod")))
    plan = save(store, desired(document("prod", name="New")))
    store.snapshot = store.snapshot.after("L", {Address("acme", "prod"): document(name="By hand")})
    with pytest.raises(Stale, match="has changed without an apply: run `hookline drift` for details"):
        apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)


def test_saved_plan_of_another_state() -> None:
    """A plan made for one state is not applied to another, however alike the two are."""
    store, other = MemoryStore(), MemoryStore()
    reach(store, desired(document("prod")))
    plan = save(store, desired(document("prod", name="New")))
    other.snapshot = Snapshot("M", 1, store.snapshot.webhooks)
    with pytest.raises(Stale, match="it was made for the state L, but this is M"):
        apply_saved_plan(other, plan, DeletionLimits(), ADA, NOW)
    with pytest.raises(Stale, match="it was made for the state L, but no state exists here"):
        apply_saved_plan(MemoryStore(), plan, DeletionLimits(), ADA, NOW)
    with pytest.raises(Stale, match="before the state was created, which is now at serial 1"):
        apply_saved_plan(other, save(MemoryStore(), desired(document("prod"))), DeletionLimits(), ADA, NOW)


def test_brakes_are_judged_on_the_state_of_the_moment() -> None:
    """A deletion that was a small share when it was planned is blocked when it is a large one by now."""
    store = MemoryStore()
    every = [document(f"s{number}") for number in range(20)]
    reach(store, desired(*every))
    plan = save(store, desired(*every[5:]))
    assert () == make_plan(store.read(), desired(*every[5:]), DeletionLimits()).blocked
    reach(store, desired(*every[:12]))
    with pytest.raises(Blocked, match="5 of 12 webhooks would be deleted") as refused:
        apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)
    assert "--max-deletes 5" in str(refused.value.hint)
    assert 7 == len(apply_saved_plan(store, plan, DeletionLimits(max_deletes=5), ADA, NOW).webhooks)
    assert all("allowed by --max-deletes 5" in text for text in store.entries[-1].lifted)


def test_protection_comes_from_the_state_of_the_moment() -> None:
    """What a saved plan says of its own blocks is not believed: the state says what is protected."""
    store = MemoryStore()
    reach(store, desired(document("prod", protected=True), document("stage")))
    plan = save(store, desired(document("stage")))
    assert () == plan.blocked
    with pytest.raises(Blocked, match="acme/prod: the applied webhook is protected"):
        apply_saved_plan(store, plan, DeletionLimits(max_deletes=9), ADA, NOW)


def test_saved_plan_that_would_leave_nothing() -> None:
    """A plan that deletes the last webhooks is blocked, also when others were left as it was made."""
    store = MemoryStore()
    reach(store, desired(document("prod"), document("stage")))
    plan = save(store, desired(document("prod")))
    reach(store, desired(document("stage")))
    with pytest.raises(Blocked, match="no webhook would be left"):
        apply_saved_plan(store, plan, DeletionLimits(), ADA, NOW)


def test_hint_of_one_deletion() -> None:
    """For a single blocked deletion the aimed way out is named, and no number."""
    store = MemoryStore()
    stored = reach(store, desired(document("prod", protected=True)))
    with pytest.raises(Blocked) as refused:
        raise_if_blocked(make_plan(stored, desired(document("stage")), DeletionLimits()))
    assert "restore the file; or allow this deletion with --allow-delete acme/prod" == refused.value.hint


A, B = "a" * 40, "b" * 40


def applied_at(*commits: str | None) -> tuple[HistoryRecord, ...]:
    return tuple(
        HistoryRecord(
            serial, HistoryEntry(at=NOW, who="bob", commit=commit, branch="main", fingerprint="", changes=()), ""
        )
        for serial, commit in enumerate(commits, 1)
    )


HERE = Provenance("ada", A, "main")
NOWHERE = Provenance("ada", None, None, "git: not a git repository")


@pytest.mark.parametrize("records", [(), applied_at(None, None)], ids=["no history", "no commit in it"])
@pytest.mark.parametrize("applied", [HERE, NOWHERE], ids=["commit", "no commit"])
def test_nothing_to_descend_from(records: tuple[HistoryRecord, ...], applied: Provenance) -> None:
    """Where no commit was ever applied, git is not even asked."""
    assert () == check_commit_order(records, applied, lambda _: pytest.fail("asked"), allow_older=False)


def test_the_last_commit_counts() -> None:
    """The last apply that had a commit is the one to follow, its mark for uncommitted changes left aside."""
    asked: list[str] = []

    def contains(commit: str) -> bool:
        asked.append(commit)
        return True

    check_commit_order(applied_at(A, f"{B}-dirty", None), HERE, contains, allow_older=False)
    assert [B] == asked


@pytest.mark.parametrize(
    ("applied", "answer", "message", "hint"),
    [
        (HERE, False, "commit aaaaaaaaaaaa does not follow the commit applied last, by bob", "--allow-older"),
        (HERE, None, "this clone does not show whether commit aaaaaaaaaaaa follows the commit", "fetch-depth: 0"),
        (NOWHERE, None, "the webhook files have no known commit .git: not a git repository.", "safe.directory"),
    ],
)
def test_overtaken_merge_is_blocked(applied: Provenance, answer: bool | None, message: str, hint: str) -> None:
    """A commit that does not follow, or may not, is blocked; --allow-older lifts that, and it is recorded."""
    with pytest.raises(Blocked, match=message) as refused:
        check_commit_order(applied_at(B), applied, lambda _: answer, allow_older=False)
    assert hint in str(refused.value.hint)
    (lifted,) = check_commit_order(applied_at(B), applied, lambda _: answer, allow_older=True)
    assert f"nothing was applied: {lifted.removesuffix(' (allowed by --allow-older)')}" == refused.value.message


def test_release_with_a_new_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that adds a field with a default plans nothing, whether or not a file writes the default."""
    schema = load_schema("webhook.v1")
    schema["properties"]["compression"] = {"type": "string", "default": "none"}
    store = MemoryStore()
    reach(store, desired(document("prod"), document("stage")))
    # The next release: its canonical form knows the field, and its webhooks have it.
    released = dataclasses.make_dataclass(
        "Released", [("compression", str, "none")], bases=(Webhook,), frozen=True, kw_only=True
    )
    field = ValueConverter(str, str)
    row = ("compression", "compression", field.read, field.canonical, "none")
    monkeypatch.setattr(canonical._WEBHOOK, "_kind", released)
    monkeypatch.setattr(canonical._WEBHOOK, "_rows", [*canonical._WEBHOOK._rows, row])
    assert "compression" in canonical_document(document(compression="gzip"))
    written = document(compression="none")
    assert Draft202012Validator(schema).is_valid(written)
    wanted = desired(written, document("stage"))
    assert () == make_plan(store.read(), wanted, DeletionLimits()).changes
