"""The policy of a state is applied at the plan and confirmed at the commit."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from builders import desired, document
from hookline.errors import Blocked, Stale, StateUnusable, WrongUse
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.planner import make_plan
from hookline.plan.policy_check import OverrideRequest
from hookline.plan.policy_guard import PolicyGuard, recorded_overrides
from hookline.state.store import Override, Snapshot, StoredPolicy

FRIDAY = datetime(2026, 11, 27, 15, 59, tzinfo=UTC)
WEEKEND = {"id": "w", "reason": "on call", "weekly": [{"from": "Fri 16:00", "to": "Mon 08:00"}], "overridable": True}
OVERRIDE = OverrideRequest(rules=("w",), reason="urgent", who="ada")


def state(text: str | None) -> Snapshot:
    return Snapshot("L", 1, {}, None if text is None else StoredPolicy.of(text, 1))


def frozen_on_weekends() -> Snapshot:
    return state(json.dumps({"version": 1, "freeze": [WEEKEND]}))


def plan(stored: Snapshot) -> Plan:
    return make_plan(stored, desired(document()), DeletionLimits())


def guard(request: OverrideRequest | None = None) -> PolicyGuard:
    return PolicyGuard(zone_of=ZoneInfo, request=request or OverrideRequest())


def test_without_a_policy_nobody_asks_for_the_time() -> None:
    """A state without a policy costs no look at the database's clock."""

    def now() -> datetime:
        raise AssertionError("no policy needs the time")

    made = plan(state(None))
    assert made == guard().checked(made, state(None), now)
    with pytest.raises(WrongUse, match="the state has no policy"):
        guard(OVERRIDE).checked(made, state(None), now)


def test_a_window_that_begins_during_the_apply_blocks_it() -> None:
    """The check inside the transaction decides, by the time there."""
    stored = frozen_on_weekends()
    made = guard().checked(plan(stored), stored, lambda: FRIDAY)
    assert () == made.violations
    guard().confirm(made, stored, FRIDAY)
    with pytest.raises(Blocked, match="on call"):
        guard().confirm(made, stored, FRIDAY + timedelta(minutes=1))


def test_the_history_records_exactly_the_lifted_rules() -> None:
    """If a window begins during the apply, its override is not in the entry: then nothing is applied."""
    stored = frozen_on_weekends()
    early = guard(OVERRIDE).checked(plan(stored), stored, lambda: FRIDAY)
    assert () == recorded_overrides(early)
    with pytest.raises(Stale):
        guard(OVERRIDE).confirm(early, stored, FRIDAY + timedelta(minutes=1))
    late = guard(OVERRIDE).checked(plan(stored), stored, lambda: FRIDAY + timedelta(minutes=1))
    assert (Override("w", "urgent"),) == recorded_overrides(late)
    guard(OVERRIDE).confirm(late, stored, FRIDAY + timedelta(minutes=2))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version":2}',
        '{"version":1,"rules":[{"id":"a"}]}',
        '{"version":1,"rules":[{"id":"a","message":"m","require":{"$ref":"http://localhost:1/a"}}]}',
        '{"version":1,"rules":[{"id":"a","message":"m","require":{"pattern":"(?=a)"}}]}',
        '{"version":1,"rules":[{"id":"a","message":"m","require":{"type":"text"}}]}',
        json.dumps({"version": 1, "freeze": [{**WEEKEND, "timeZone": "Europe/Nowhere"}]}),
        json.dumps({"version": 1, "freeze": [{**WEEKEND, "timeZone": "../../etc/passwd"}]}),
    ],
)
def test_a_stored_policy_that_cannot_be_used_stops_the_plan(text: Any) -> None:
    """Somebody edited the state, or this machine lacks the time zone: no plan is made as if there was no policy."""
    stored = state(text)
    with pytest.raises(StateUnusable, match="the policy of the state cannot be used"):
        guard().checked(plan(stored), stored, lambda: FRIDAY)
