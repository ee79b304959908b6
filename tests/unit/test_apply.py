"""The laws of plan and apply, over random states, and what apply refuses and records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.apply import apply_plan
from hookline.canonical import read_webhook
from hookline.errors import Blocked, Stale
from hookline.model import (
    Address,
    Channel,
    Declared,
    DeliveryPolicy,
    Desired,
    EnvRef,
    FeedbackStatus,
    FileRef,
    JwtAuthentication,
    NoAuthentication,
    RetryPolicy,
    SigningKey,
    Source,
    Webhook,
)
from hookline.plan.changes import Action
from hookline.plan.make import make_plan
from hookline.plan.render_json import plan_document
from hookline.plan.render_text import render_text
from hookline.plan.safety import Brakes
from hookline.provenance import Provenance
from hookline.quantities import Rate
from hookline.state.port import Entry
from hookline.state.snapshot import EMPTY, Snapshot

NOW = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
ADA = Provenance("ada", "c0ffee", "main")


class MemoryStore:
    """A StateStore that keeps its snapshot and history in memory."""

    def __init__(self) -> None:
        self.snapshot = EMPTY
        self.history: list[Entry] = []

    def read(self) -> Snapshot:
        return self.snapshot

    def version(self) -> tuple[str | None, int]:
        return self.snapshot.lineage, self.snapshot.serial

    def commit(self, base: Snapshot, written: Mapping[Address, Mapping[str, Any] | None], entry: Entry) -> Snapshot:
        if (base.lineage, base.serial) != self.version():
            raise Stale("moved")
        self.snapshot = base.after("L", written)
        self.history.append(entry)
        return self.snapshot


texts = st.text(min_size=1, max_size=8)
references = st.builds(EnvRef, texts) | st.builds(FileRef, texts)
seconds = st.integers(1, 10_000).map(lambda number: timedelta(seconds=number))
claims = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts | st.lists(texts), max_size=3)
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
sources = st.builds(Source, texts, st.integers(1, 99))
declared = st.lists(st.builds(Declared, webhooks, sources), max_size=8).map(
    lambda found: {one.webhook.address: one for one in found}
)


def anything_goes(stored: Snapshot) -> Brakes:
    return Brakes(allow_delete=frozenset(stored.webhooks))


def reach(store: MemoryStore, desired: Desired) -> Snapshot:
    stored = store.read()
    return apply_plan(store, stored, make_plan(stored, desired, anything_goes(stored)), ADA, NOW)


@settings(deadline=None, max_examples=60)
@given(prior=declared, wanted=declared)
def test_apply_reaches_what_is_desired(prior: dict[Address, Declared], wanted: dict[Address, Declared]) -> None:
    """Whatever was applied before: after apply the state holds what is desired, and the next plan is empty."""
    store = MemoryStore()
    reach(store, Desired(prior))
    after = reach(store, Desired(wanted))
    assert {address: one.webhook for address, one in wanted.items()} == {
        address: stored.webhook for address, stored in after.webhooks.items()
    }
    assert make_plan(after, Desired(wanted), Brakes()).changes == ()


@settings(deadline=None, max_examples=60)
@given(prior=declared, wanted=declared)
def test_narrowed_apply_reaches_its_part(prior: dict[Address, Declared], wanted: dict[Address, Declared]) -> None:
    """A narrowed apply makes its part what is desired and leaves every other webhook as it was."""
    store = MemoryStore()
    reach(store, Desired(prior))
    after = reach(store, Desired(wanted, narrowed=True))
    assert {address: one.webhook for address, one in (prior | wanted).items()} == {
        address: stored.webhook for address, stored in after.webhooks.items()
    }


@settings(deadline=None, max_examples=60)
@given(prior=declared, wanted=declared, data=st.data())
def test_plan_does_not_depend_on_order(
    prior: dict[Address, Declared], wanted: dict[Address, Declared], data: st.DataObject
) -> None:
    """However the files and the rows are ordered, plan, text, JSON and fingerprint are the same."""
    store = MemoryStore()
    stored = reach(store, Desired(prior))
    shuffled = dict(data.draw(st.permutations(list(wanted.items()))))
    rows = dict(data.draw(st.permutations(list(stored.webhooks.items()))))
    plan = make_plan(stored, Desired(wanted), Brakes())
    other = make_plan(Snapshot(stored.lineage, stored.serial, rows), Desired(shuffled), Brakes())
    assert repr(plan_document(plan)) == repr(plan_document(other))
    assert render_text(plan) == render_text(other)
    assert plan.changes == tuple(sorted(plan.changes, key=lambda change: change.address))


@settings(deadline=None, max_examples=60)
@given(prior=declared, wanted=declared)
def test_every_update_names_its_fields(prior: dict[Address, Declared], wanted: dict[Address, Declared]) -> None:
    """An update shows at least one field, each once, and every one of them differs."""
    stored = reach(MemoryStore(), Desired(prior))
    for change in make_plan(stored, Desired(wanted), Brakes()).changes:
        if change.action is Action.UPDATE:
            paths = [field.path for field in change.fields]
            assert paths
            assert len(set(paths)) == len(paths)
            assert all(repr(field.before) != repr(field.after) for field in change.fields)


@settings(deadline=None, max_examples=60)
@given(wanted=declared)
def test_plan_holds_no_unprintable_character(wanted: dict[Address, Declared]) -> None:
    """No webhook file can put a control character into the text of a plan."""
    for row in render_text(make_plan(EMPTY, Desired(wanted), Brakes())):
        assert "".join(character for character in row.text if not character.isprintable()) == ""


def webhook(sandbox: str, **changes: Any) -> Declared:
    document = {
        "version": 1,
        "organization": "acme",
        "sandbox": sandbox,
        "name": "Feedback",
        "channels": ["email"],
        "url": "https://a.example/",
        "campaigns": "all",
    }
    return Declared(read_webhook({**document, **changes}), Source("webhooks/a.yaml", 1))


def desired(*found: Declared) -> Desired:
    return Desired({one.webhook.address: one for one in found})


def test_history_entry() -> None:
    """An apply records when, who, at which commit and branch, the plan's fingerprint and its changes."""
    store = MemoryStore()
    plan = make_plan(EMPTY, desired(webhook("prod")), Brakes())
    apply_plan(store, EMPTY, plan, ADA, NOW)
    (entry,) = store.history
    changes = tuple(plan_document(plan)["changes"])
    assert (
        Entry(at=NOW, who="ada", commit="c0ffee", branch="main", fingerprint=plan.fingerprint, changes=changes)
        == entry
    )


def test_lifted_brakes_are_recorded() -> None:
    """Which brake was lifted, for which webhook and by what, stays in the history."""
    store = MemoryStore()
    stored = reach(store, desired(webhook("prod", protected=True), webhook("stage")))
    plan = make_plan(stored, desired(webhook("stage")), Brakes(allow_delete=frozenset({Address("acme", "prod")})))
    apply_plan(store, stored, plan, ADA, NOW)
    assert store.history[-1].lifted == (
        "acme/prod: the applied webhook is protected (lifted by --allow-delete acme/prod)",
    )


def test_nothing_to_do_writes_nothing() -> None:
    """An empty plan makes no serial and no history entry."""
    store = MemoryStore()
    stored = reach(store, desired(webhook("prod")))
    assert stored == reach(store, desired(webhook("prod")))
    assert len(store.history) == 1


def test_blocked_plan_is_not_applied_in_part() -> None:
    """When one deletion is blocked the other changes are not made either, and the message says how to aim."""
    store = MemoryStore()
    stored = reach(store, desired(webhook("prod", protected=True), webhook("stage")))
    plan = make_plan(stored, desired(webhook("stage", name="Other")), Brakes())
    with pytest.raises(Blocked, match="acme/prod: the applied webhook is protected") as refused:
        apply_plan(store, stored, plan, ADA, NOW)
    assert "--allow-delete acme/prod" in str(refused.value.hint)
    assert stored == store.read()


def test_state_that_moved() -> None:
    """A plan made on a state that has moved since is stale, and writes nothing."""
    store = MemoryStore()
    plan = make_plan(EMPTY, desired(webhook("prod")), Brakes())
    moved = reach(store, desired(webhook("stage")))
    with pytest.raises(Stale):
        apply_plan(store, EMPTY, plan, ADA, NOW)
    assert moved == store.read()
