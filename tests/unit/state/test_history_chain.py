"""The chain of hashes: what is changed, removed or put in by hand find_breaks it, at its place."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from hookline.state.history_chain import ChainBreak, entry_hash, find_breaks, genesis_hash
from hookline.state.store import HistoryEntry, HistoryRecord, Override, PolicyChange

ENTRY = HistoryEntry(
    at=datetime(2026, 11, 3, 9, 30, tzinfo=UTC),
    who="ada",
    commit="c0ffee",
    branch="main",
    fingerprint="sha256:0",
    changes=({"address": "acme/prod", "action": "create"},),
)


def chain(*whos: str) -> list[HistoryRecord]:
    previous, records = genesis_hash("L"), []
    for serial, who in enumerate(whos, start=1):
        entry = replace(ENTRY, who=who)
        previous = entry_hash(previous, serial, entry)
        records.append(HistoryRecord(serial, entry, previous))
    return records


def test_untouched_chain_holds() -> None:
    """What was sealed entry by entry has no break; nor has a state without any apply."""
    assert [] == list(find_breaks("L", 3, chain("a", "b", "c")))
    assert [] == list(find_breaks("L", 0, []))


CHANGED: dict[str, Any] = {
    "at": ENTRY.at + timedelta(milliseconds=1),
    "who": "eve",
    "commit": None,
    "branch": "other",
    "fingerprint": "sha256:1",
    "changes": (),
    "lifted": ("something",),
    "overrides": (Override("freeze", "something"),),
    "policy": PolicyChange(None),
    "note": "something",
}


@pytest.mark.parametrize("name", [field.name for field in fields(HistoryEntry)])
def test_every_field_is_sealed(name: str) -> None:
    """Whichever field of an entry is changed, the chain find_breaks at that entry, and only there."""
    records = chain("a", "b", "c")
    records[1] = replace(records[1], entry=replace(records[1].entry, **{name: CHANGED[name]}))
    assert [2] == [broken.serial for broken in find_breaks("L", 3, records)]


@pytest.mark.parametrize("changed", [PolicyChange(None), PolicyChange('{"a":2}', "a.yaml"), PolicyChange("{}", None)])
def test_every_part_of_a_policy_is_sealed(changed: PolicyChange) -> None:
    """The text of a policy, its removal, and the file that it came from are covered by the hash of the entry."""
    before, after = (replace(ENTRY, policy=policy) for policy in (PolicyChange("{}", "a.yaml"), changed))
    assert entry_hash("x", 1, before) != entry_hash("x", 1, after)


def test_same_moment_is_the_same_time() -> None:
    """A time is sealed as a moment: the zone that it is told in does not matter."""
    elsewhere = replace(ENTRY, at=ENTRY.at.astimezone(timezone(timedelta(hours=-7))))
    assert entry_hash("x", 1, ENTRY) == entry_hash("x", 1, elsewhere)


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        (1, ChainBreak(1, "missing: the next entry is of serial 2")),
        (2, ChainBreak(2, "missing: the next entry is of serial 3")),
        (3, ChainBreak(3, "missing: the state is at serial 3")),
    ],
)
def test_removed_entry_is_missed(removed: int, expected: ChainBreak) -> None:
    """An entry that was removed is named by its serial, at the beginning, in the middle and at the end."""
    records = [record for record in chain("a", "b", "c") if record.serial != removed]
    assert [expected] == list(find_breaks("L", 3, records))


def test_added_entry_is_found() -> None:
    """An entry that was put in find_breaks the chain, also at the end, where it is beyond the state's serial."""
    assert [ChainBreak(2, "later than the state, which is at serial 1")] == list(find_breaks("L", 1, chain("a", "b")))


def test_reordered_entries_are_found() -> None:
    """Two entries that changed places break the chain at both."""
    one, two, three = chain("a", "b", "c")
    records = [one, replace(two, entry=three.entry), replace(three, entry=two.entry)]
    assert [2, 3] == [broken.serial for broken in find_breaks("L", 3, records)]


def test_other_lineage() -> None:
    """The history of one state is not that of another."""
    assert [1] == [broken.serial for broken in find_breaks("other", 2, chain("a", "b"))]
