"""The brakes on deletions, and what lifts each of them."""

from __future__ import annotations

from typing import Any

import pytest

from builders import desired, document
from hookline.model import Address, Desired
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Action
from hookline.plan.planner import make_plan
from hookline.state.store import Snapshot, Stored


def address(number: int) -> Address:
    return Address("acme", f"s{number}")


def snapshot(count: int, protected: frozenset[int] = frozenset()) -> Snapshot:
    numbers = range(count)
    fields: dict[int, dict[str, Any]] = {n: {"protected": True} for n in protected}
    return Snapshot("L", 3, {address(n): Stored.of(document(address(n), **fields.get(n, {}))) for n in numbers})


def wanted(*numbers: int, narrowed: bool = False) -> Desired:
    return desired(*(document(address(number)) for number in numbers), narrowed=narrowed)


def blocked(stored: Snapshot, wanted: Desired, brakes: DeletionLimits) -> dict[int, str]:
    plan = make_plan(stored, wanted, brakes)
    return {int(c.address.sandbox[1:]): c.blocked for c in plan.changes if c.blocked is not None}


@pytest.mark.parametrize(("count", "kept", "stopped"), [(9, 1, False), (10, 7, False), (10, 6, True), (20, 13, True)])
def test_share_of_deletions(count: int, kept: int, stopped: bool) -> None:
    """More than 30 % of ten or more webhooks are not deleted; 30 %, or any share of fewer, is."""
    found = blocked(snapshot(count), wanted(*range(kept)), DeletionLimits())
    assert (set(range(kept, count)) if stopped else set()) == set(found)
    for reason in found.values():
        assert f"{count - kept} of {count} webhooks would be deleted, more than 30%" == reason


@pytest.mark.parametrize("count", [1, 3, 12])
def test_emptied_directory(count: int) -> None:
    """When no file is left, nothing is deleted, however few webhooks are stored."""
    found = blocked(snapshot(count), wanted(), DeletionLimits())
    assert set(range(count)) == set(found)
    assert {"no webhook would be left"} == set(found.values())


def test_empty_directory_and_empty_state() -> None:
    """Where nothing is stored, an empty directory is no danger and there is nothing to do."""
    assert make_plan(snapshot(0), wanted(), DeletionLimits()).changes == ()


def test_protection_is_the_states() -> None:
    """A webhook that the state says is protected is not deleted; the state, not the vanished file, decides."""
    assert blocked(snapshot(4, frozenset({2})), wanted(0, 3), DeletionLimits()) == {
        2: "the applied webhook is protected"
    }


def test_unprotecting_and_deleting_need_two_applies() -> None:
    """A file that takes the protection away is an update, and updates are not blocked."""
    plan = make_plan(snapshot(1, frozenset({0})), wanted(0), DeletionLimits())
    assert [change.action for change in plan.changes] == [Action.UPDATE]
    assert plan.blocked == ()


def test_reasons_add_up() -> None:
    """A deletion that two brakes stop names both."""
    found = blocked(snapshot(2, frozenset({1})), wanted(), DeletionLimits())
    assert found[1] == "the applied webhook is protected; no webhook would be left"


def test_aimed_permission() -> None:
    """--allow-delete lifts every brake for its address, says so, and lifts none for another."""
    brakes = DeletionLimits(allow_delete=frozenset({address(1)}))
    stored = snapshot(2, frozenset({0, 1}))
    plan = make_plan(stored, wanted(), brakes)
    assert {0} == set(blocked(stored, wanted(), brakes))
    (lifted,) = [change.allowed for change in plan.changes if change.allowed]
    assert "the applied webhook is protected" in lifted
    assert "allowed by --allow-delete acme/s1" in lifted


def test_permission_that_was_not_needed() -> None:
    """Where no brake stops a deletion, nothing is lifted and nothing is recorded."""
    plan = make_plan(snapshot(3), wanted(0, 1), DeletionLimits(allow_delete=frozenset({address(2)})))
    assert [(change.blocked, change.allowed) for change in plan.changes] == [(None, None)]


@pytest.mark.parametrize(("limit", "stopped"), [(4, False), (5, False), (3, True), (0, True)])
def test_number_lifts_the_share(limit: int, stopped: bool) -> None:
    """--max-deletes N lets up to N deletions pass, whatever their share, and no more."""
    found = blocked(snapshot(10), wanted(*range(6)), DeletionLimits(max_deletes=limit))
    assert ({6, 7, 8, 9} if stopped else set()) == set(found)
    for reason in found.values():
        assert f"4 webhooks would be deleted, more than --max-deletes {limit}" == reason


def test_number_lifts_the_emptied_directory() -> None:
    """--max-deletes lets the last files go as well, and says so."""
    plan = make_plan(snapshot(2), wanted(), DeletionLimits(max_deletes=2))
    assert plan.blocked == ()
    assert all("allowed by --max-deletes 2" in str(change.allowed) for change in plan.changes)


def test_number_does_not_lift_protection() -> None:
    """--max-deletes never deletes a protected webhook."""
    assert {1} == set(blocked(snapshot(2, frozenset({1})), wanted(), DeletionLimits(max_deletes=9)))


def test_number_also_tightens() -> None:
    """--max-deletes is a maximum: it also stops deletions that no other brake would."""
    assert {1, 2} == set(blocked(snapshot(3), wanted(0), DeletionLimits(max_deletes=1)))
    assert {1} == set(
        blocked(snapshot(3), wanted(0), DeletionLimits(max_deletes=1, allow_delete=frozenset({address(2)})))
    )


@pytest.mark.parametrize("kept", [(), (0,)])
def test_narrowed_run_deletes_nothing(kept: tuple[int, ...]) -> None:
    """A run that looks at a part of the files takes nothing for deleted."""
    plan = make_plan(snapshot(12), wanted(*kept, narrowed=True), DeletionLimits(max_deletes=99))
    assert plan.changes == ()
    assert len(kept) == plan.unchanged
