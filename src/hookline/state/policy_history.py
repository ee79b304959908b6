"""The policies that the history records, and the apply that set each part of the present one.

The state does not interpret a policy. A part is a key of its document, or an entry of a list whose entries have an
``id``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hookline.canonical import canonical_text
from hookline.state.store import HistoryRecord, StoredPolicy


@dataclass(frozen=True, slots=True)
class PolicyPart:
    """A part of a policy (``rules/own-hosts``, ``folders``), and the apply that gave it its present value.

    `record` is None if no apply did: somebody changed the state by hand.
    """

    name: str
    record: HistoryRecord | None


def applied_policy(records: Iterable[HistoryRecord], up_to: int | None = None) -> StoredPolicy | None:
    """The policy after serial `up_to` (None: the last) as the history records it; None if there was none."""
    found = None
    for record in records:
        if record.entry.policy is not None and (up_to is None or record.serial <= up_to):
            found = record.entry.policy.stored(record.serial)
    return found


def blame_policy(policy: StoredPolicy, records: Iterable[HistoryRecord]) -> tuple[PolicyPart, ...]:
    """The parts of the stored policy. Raises ValueError for a policy that is not JSON."""
    known: dict[str, tuple[str, HistoryRecord]] = {}
    for record in records:
        if record.entry.policy is not None:
            parts = policy_parts(record.entry.policy.text or "{}")
            known = {
                name: known[name] if name in known and known[name][0] == value else (value, record)
                for name, value in parts.items()
            }
    return tuple(
        PolicyPart(name, known[name][1] if name in known and known[name][0] == value else None)
        for name, value in policy_parts(policy.text).items()
    )


def policy_parts(text: str) -> dict[str, str]:
    """The canonical text of each part of a policy, by name. Raises ValueError for text that is not a JSON object."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("the policy is not a JSON object")  # noqa: TRY004 - the text is invalid
    return {name: canonical_text(value) for key, found in document.items() for name, value in _parts(key, found)}


def _parts(key: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(one, dict) and "id" in one for one in value):
        return [(f"{key}/{one['id']}", one) for one in value]
    return [(key, value)]
